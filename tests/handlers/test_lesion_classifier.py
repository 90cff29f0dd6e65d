"""The classifier's handler: answers, refusals with the reason, and what a version loads."""

import base64
import gzip
import json
from pathlib import Path
from urllib.parse import quote

import httpx
import numpy as np
import pytest
from PIL import Image

from handlers.lesion_classifier import LesionClassifier
from lesions.labels import NOTICE
from tests.handlers.mock_context import (
    GOOD,
    HUGE,
    Request,
    ask,
    body,
    context_of,
    expected,
    form,
    model_dir,
)
from tests.images import file_of
from zoo.models.features import FeatureReference
from zoo.models.predictor import Predictor
from zoo.models.session import MODEL, ModelError


def test_an_answer_says_what_who_and_what_it_is_not_for(handler: LesionClassifier, folder: Path) -> None:
    [(code, answer)] = ask(handler, folder, body(bytearray(GOOD[0])))
    assert code == 200
    assert list(answer) == ["label", "probabilities", "entry", "study", "notice"]
    assert answer["probabilities"] == pytest.approx(expected(GOOD[0]), abs=1e-6)
    assert answer["label"] == max(answer["probabilities"], key=answer["probabilities"].get)
    assert (answer["entry"], answer["study"], answer["notice"]) == ("baseline", "tests", NOTICE)


@pytest.mark.parametrize(
    "request_",
    [
        body(bytearray(GOOD[0]), "application/octet-stream"),
        body(bytearray(GOOD[0]), ""),
        ({"body": bytearray(GOOD[0])}, {}),
        form(("mole", bytearray(GOOD[0]), "image/png")),
        form(("content-type", bytearray(GOOD[0]), "image/png")),
        body({"image": base64.b64encode(GOOD[0]).decode()}, "application/json"),
        body(bytearray(json.dumps({"image": base64.b64encode(GOOD[0]).decode()}).encode()), "application/json"),
        body(bytearray(json.dumps({"image": base64.b64encode(GOOD[0]).decode()}).encode()), "image/png"),
        body(json.dumps({"image": base64.b64encode(GOOD[0]).decode()}), "text/plain"),
        body({"image": "data:image/png;base64," + base64.b64encode(GOOD[0]).decode()}, "application/json"),
        body({"image": base64.encodebytes(GOOD[0]).decode()}, "application/json"),
        form(("j", {"image": base64.b64encode(GOOD[0]).decode()}, "application/json")),
        form(("class", bytearray(b"mel"), ""), ("mole", bytearray(GOOD[0]), "image/png")),
        form(("class", bytearray(GOOD[0]), "image/png")),
    ],
)
def test_one_picture_however_sent_gets_one_answer(handler: LesionClassifier, folder: Path, request_: Request) -> None:
    [(code, answer)] = ask(handler, folder, request_)
    assert code == 200, answer
    assert answer["probabilities"] == pytest.approx(expected(GOOD[0]), abs=1e-6)


PICTURE64 = base64.b64encode(GOOD[0]).decode()


def zipped(request: Request) -> Request:
    fields, headers = request
    return fields, headers | {"Content-Encoding": "gzip"}


def sent_twice(content: bytes) -> Request:
    """What TorchServe hands on of two files in fields of one name: the last, and the length of all."""
    files = [("image", ("a.png", content, "image/png"))] * 2
    whole = httpx.Request("POST", "http://x", files=files)
    fields, headers = form(("image", bytearray(content), "image/png"))
    length = {"Content-Length": str(len(whole.read())), "Content-Type": whole.headers["Content-Type"]}
    return fields, headers | length


@pytest.mark.parametrize("extended", [False, True])
def test_a_long_name_of_a_file_is_no_second_file(handler: LesionClassifier, folder: Path, extended: bool) -> None:
    name = "ä" * 125 + ".png"  # 254 bytes: of the 255 that a file system takes
    whole = httpx.Request("POST", "http://x", files={"image": (name, GOOD[0], "image/png")})
    fields, headers = form(("image", bytearray(GOOD[0]), "image/png"))
    encoded = f"; filename*=UTF-8''{quote(name)}" if extended else ""  # as some clients add it (RFC 5987)
    length = {
        "Content-Length": str(len(whole.read()) + len(encoded)),
        "Content-Type": whole.headers["Content-Type"],
    }
    [(code, _)] = ask(handler, folder, (fields, headers | length))
    assert code == 200


REFUSED: list[tuple[Request, int, str]] = [
    (body(bytearray()), 400, "the image is empty"),
    (({}, {}), 400, "the image is empty"),
    (body("hello", "text/plain"), 400, "not an image of a supported format"),
    (body(bytearray(GOOD[1][:400])), 400, "cut short"),
    (body(bytearray(HUGE)), 413, "50,000,000"),
    (
        body({"picture": "x"}, "application/json"),
        400,
        'unknown key \'picture\' in the JSON; send {"image": "<base64>"}',
    ),
    (body([1, 2], "application/json"), 400, "a list of 2 in the JSON; send one picture a request"),
    (body({"image": [PICTURE64, PICTURE64]}, "application/json"), 400, "a list of 2 in the JSON; send one picture"),
    (body({"images": [PICTURE64]}, "application/json"), 400, "a list of 1 in the JSON; send one picture a request"),
    (body([{"image": PICTURE64}] * 3, "application/json"), 400, "a list of 3 in the JSON; send one picture a request"),
    (body({"image": PICTURE64, "clas": "mel"}, "application/json"), 400, "unknown key 'clas' in the JSON"),
    (body({}, "application/json"), 400, 'the JSON has no picture; send {"image": "<base64>"}'),
    (body(bytearray(gzip.compress(GOOD[0])), "image/png"), 400, "a gzip file; unpack it first"),
    (body(bytearray(gzip.compress(b"{}")), "application/json"), 400, "the body is compressed (gzip)"),
    (zipped(body(bytearray(gzip.compress(GOOD[0])), "image/png")), 415, "Content-Encoding: gzip is not read"),
    (body(bytearray(b"mole.jpg"), "image/jpeg"), 400, "the name of a file, 'mole.jpg', and not the file"),
    (form(("image", bytearray(b"my moles/mole.JPEG"), "")), 400, "curl -F image=@mole.jpg"),
    (form(("image", bytearray(b"@mole.jpg"), "")), 400, "the name of a file, 'mole.jpg', and not the file"),
    (form(("mole", bytearray(GOOD[0]), "image/png"), ("label", bytearray(b"mel"), "")), 400, "unknown field 'label'"),
    (
        form(("note", bytearray(b"left arm"), ""), ("mole", bytearray(GOOD[0]), "image/png")),
        400,
        "unknown field 'note'",
    ),
    (sent_twice(GOOD[0]), 400, "more than one file in a field; send one picture a request"),
    (body(None, "application/json"), 400, 'send {"image": "<base64>"}'),
    (body({"image": 3}, "application/json"), 400, 'send {"image": "<base64>"}'),
    (body({"image": "@@@"}, "application/json"), 400, '"image" is not base64'),
    (body({"image": "é"}, "application/json"), 400, '"image" is not base64'),
    (body({"image": ""}, "application/json"), 400, '"image" is empty'),
    (body({"image": base64.b64encode(HUGE).decode()}, "application/json"), 413, "50,000,000"),
    (body(bytearray(b"{oops"), "application/json"), 400, "the body is not JSON"),
    (body(bytearray(b'{"a":' * 100_000), "application/json"), 400, "the body is not JSON"),
    (body(bytearray(GOOD[0]), "application/json"), 400, "the body is not JSON"),
    (form(("a", bytearray(GOOD[0]), "image/png"), ("b", bytearray(GOOD[1]), "image/jpeg")), 400, "2 files (a, b)"),
    (form(("a", bytearray(b"1"), ""), ("b", bytearray(b"2"), "")), 400, "no file among the form's fields"),
    (({"\ufffd": bytearray(b"x")}, {"Content-Type": "application/x-www-form-urlencoded"}), 400, "web form"),
    (
        ({"body": {"image": base64.b64encode(GOOD[0]).decode(), "class": "wart"}}, {"explain": "True"}),
        400,
        "no class 'wart'; there are: akiec, ",
    ),
    (({"body": bytearray(b"hello")}, {"explain": "True"}), 400, "not an image of a supported format"),
]


@pytest.mark.parametrize(("request_", "code", "message"), REFUSED)
def test_what_cannot_be_read_is_refused_with_the_reason(
    handler: LesionClassifier, folder: Path, request_: Request, code: int, message: str
) -> None:
    [(status, answer)] = ask(handler, folder, request_)
    assert status == answer["code"] == code
    assert message in answer["message"]
    assert answer["type"].isalpha()


def test_bad_requests_do_no_harm_to_their_batch(handler: LesionClassifier, folder: Path) -> None:
    requests = [
        request
        for pair in zip([body(bytearray(GOOD[0]))] * len(REFUSED), [r for r, _, _ in REFUSED], strict=True)
        for request in pair
    ]
    answers = ask(handler, folder, body(bytearray(GOOD[1])), *requests)
    assert [code for code, _ in answers[2::2]] == [code for _, code, _ in REFUSED]
    assert answers[0][1]["probabilities"] == pytest.approx(expected(GOOD[1]), abs=1e-5)
    for code, answer in answers[1::2]:
        assert code == 200
        assert answer["probabilities"] == pytest.approx(expected(GOOD[0]), abs=1e-5)


def test_a_version_describes_itself(handler: LesionClassifier, folder: Path) -> None:
    [(code, answer)] = ask(handler, folder, ({}, {"describe": "True"}))
    assert (code, answer["entry"], answer["architecture"]) == (200, "baseline", "test_efficientnet")


def test_another_model_than_that_of_the_entry_is_not_loaded(tmp_path: Path) -> None:
    folder = model_dir(tmp_path)
    content = bytearray((folder / MODEL).read_bytes())
    content[-1] ^= 1
    (folder / MODEL).write_bytes(content)
    with pytest.raises(ModelError, match="sha256"):
        LesionClassifier().initialize(context_of(folder))


def test_a_picture_has_its_time(handler: LesionClassifier, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = 400_000  # each stored on its own
    image = Image.new("L", (16, rows))
    slow = file_of(image, "TIFF", tiffinfo={278: 1})
    monkeypatch.setattr("zoo.serving.classifier.SECONDS", 0.1)
    (code, answer), (fine, _) = ask(handler, folder, body(bytearray(slow)), body(bytearray(GOOD[0])))
    assert (code, fine) == (400, 200)
    assert "not decoded in 0.1 seconds" in answer["message"]


def test_many_files_are_not_all_named(handler: LesionClassifier, folder: Path) -> None:
    files = [(f"file {number}", bytearray(b"x"), "image/png") for number in range(10_000)]
    [(code, answer)] = ask(handler, folder, form(*files))
    assert code == 400
    assert answer["message"].startswith("10000 files (file 0, file 1, ")
    assert len(answer["message"]) < 300


def test_an_archive_with_a_reference_says_how_far_a_picture_is_from_validations(tmp_path: Path) -> None:
    folder = model_dir(tmp_path)
    entry = json.loads((folder / "entry.json").read_text())
    plain = np.random.default_rng(0).integers(100, 156, (20, 64, 64, 3), dtype=np.uint8)
    features = Predictor.from_entry(entry, folder / MODEL).features(plain)
    entry["features"] = FeatureReference.fit(features).to_entry()
    (folder / "entry.json").write_text(json.dumps(entry))
    handler = LesionClassifier()
    handler.initialize(context_of(folder))
    near, far = file_of(Image.fromarray(plain[0])), file_of(Image.new("RGB", (64, 64), "white"))
    answers = [answer for _, answer in ask(handler, folder, body(bytearray(near)), body(bytearray(far)))]
    assert list(answers[0]) == ["label", "probabilities", "distance", "entry", "study", "notice"]
    assert 0.5 < answers[0]["distance"] < 2 < answers[1]["distance"]
    assert answers[0]["probabilities"] == pytest.approx(expected(near), abs=1e-6)
    [(_, alone)] = ask(handler, folder, body(bytearray(far)))
    assert alone["distance"] == answers[1]["distance"]
