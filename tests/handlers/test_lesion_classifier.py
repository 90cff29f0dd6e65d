import base64
import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file
from ts.context import Context, RequestProcessor

from handlers.lesion_classifier import LesionClassifier
from lesions.images import center_square, decode
from lesions.labels import CLASSES, NOTICE
from zoo.models.network import build, load, probabilities
from zoo.study import ROOT

ENTRY: dict[str, Any] = {
    "entry": "baseline",
    "study": "tests",
    "notice": NOTICE,
    "architecture": "test_efficientnet",
    "pixels": 32,
    "classes": list(CLASSES),
    "mean": [0.7, 0.5, 0.5],
    "deviation": [0.2, 0.2, 0.2],
}


def file_of(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, form, **options)
    return content.getvalue()


GOOD = [
    file_of(Image.effect_noise((60, 40), 20 + 40 * n).convert("RGB"), form) for n, form in enumerate(("PNG", "JPEG"))
]
HUGE = file_of(Image.new("1", (8_000, 8_000)))


def model_dir(folder: Path) -> Path:
    torch.manual_seed(0)
    network = build(ENTRY["architecture"])
    save_file(
        {name: tensor.contiguous() for name, tensor in network.state_dict().items()}, folder / "weights.safetensors"
    )
    digest = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    (folder / "entry.json").write_text(json.dumps(ENTRY | {"weights_sha256": digest}))
    return folder


def context_of(folder: Path, headers: list[dict[str, Any]] | None = None) -> Context:
    context = Context("lesion_classifier", str(folder), {"model": {}}, 8, None, "0.12.0")
    context.request_processor = [RequestProcessor(header) for header in headers or []]
    return context


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_dir(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def handler(folder: Path) -> LesionClassifier:
    handler = LesionClassifier()
    handler.initialize(context_of(folder))
    return handler


Request = tuple[Mapping[str, Any], dict[str, Any]]


def body(content: object, kind: str = "image/jpeg") -> Request:
    return {"body": content}, {"Content-Type": kind, "explain": "False"}


def form(*parts: tuple[str, object, str]) -> Request:
    """A multipart form as TorchServe hands it on; a part is its name, value and own content type."""
    headers = {name: {"content-type": kind} for name, _, kind in parts}
    return {name: value for name, value, _ in parts}, headers | {"Content-Type": "multipart/form-data; boundary=x"}


def ask(handler: LesionClassifier, folder: Path, *requests: Request) -> list[tuple[int, dict[str, Any]]]:
    context = context_of(folder, [headers for _, headers in requests])
    answers = handler.handle([dict(fields) for fields, _ in requests], context)
    assert len(answers) == len(requests)
    json.dumps(answers, allow_nan=False)
    found = []
    for index, answer in enumerate(answers):
        code, phrase = context.get_response_status(index)
        assert (phrase or "").isascii()  # else TorchServe miscounts the answer's bytes
        assert context.get_response_content_type(index) == "application/json"
        found.append((code, answer))
    return found


def expected(folder: Path, content: bytes) -> dict[str, float]:
    network = build(ENTRY["architecture"])
    load(network, folder / "weights.safetensors")
    batch = torch.from_numpy(center_square(decode(content), ENTRY["pixels"])[None].copy())
    row = probabilities(network, batch, ENTRY["mean"], ENTRY["deviation"])[0].tolist()
    return dict(zip(CLASSES, row, strict=True))


def test_an_answer_says_what_who_and_what_it_is_not_for(handler: LesionClassifier, folder: Path) -> None:
    [(code, answer)] = ask(handler, folder, body(bytearray(GOOD[0])))
    assert code == 200
    assert list(answer) == ["label", "probabilities", "entry", "study", "notice"]
    assert answer["probabilities"] == pytest.approx(expected(folder, GOOD[0]), abs=1e-6)
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
        form(("note", bytearray(b"left arm"), ""), ("mole", bytearray(GOOD[0]), "image/png")),
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
    assert answer["probabilities"] == pytest.approx(expected(folder, GOOD[0]), abs=1e-6)


REFUSED: list[tuple[Request, int, str]] = [
    (body(bytearray()), 400, "the body is empty"),
    (({}, {}), 400, "the body is empty"),
    (body("hello", "text/plain"), 400, "not an image of a supported format"),
    (body(bytearray(GOOD[1][:400])), 400, "cut short"),
    (body(bytearray(HUGE)), 413, "50,000,000"),
    (body({"picture": "x"}, "application/json"), 400, 'send {"image": "<base64>"}'),
    (body([1, 2], "application/json"), 400, 'send {"image": "<base64>"}'),
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


@pytest.mark.parametrize(("request_", "code", "said"), REFUSED)
def test_what_cannot_be_read_is_refused_with_the_reason(
    handler: LesionClassifier, folder: Path, request_: Request, code: int, said: str
) -> None:
    [(found, answer)] = ask(handler, folder, request_)
    assert found == answer["code"] == code
    assert said in answer["message"]
    assert answer["type"].isalpha()


def test_bad_requests_do_no_harm_to_their_batch(handler: LesionClassifier, folder: Path) -> None:
    requests = [
        request
        for pair in zip([body(bytearray(GOOD[0]))] * len(REFUSED), [r for r, _, _ in REFUSED], strict=True)
        for request in pair
    ]
    found = ask(handler, folder, body(bytearray(GOOD[1])), *requests)
    assert [code for code, _ in found[2::2]] == [code for _, code, _ in REFUSED]
    assert found[0][1]["probabilities"] == pytest.approx(expected(folder, GOOD[1]), abs=1e-5)
    for code, answer in found[1::2]:
        assert code == 200
        assert answer["probabilities"] == pytest.approx(expected(folder, GOOD[0]), abs=1e-5)


def explained(*fields: tuple[str, Any, str]) -> Request:
    """A request to explain itself: a form of these fields."""
    given, headers = form(*fields)
    return given, headers | {"explain": "True"}


PICTURE = ("mole", bytearray(GOOD[0]), "image/png")


def test_an_explanation_is_laid_on_the_square_of_the_picture(handler: LesionClassifier, folder: Path) -> None:
    [(_, plain)] = ask(handler, folder, form(PICTURE))
    [(code, answer)] = ask(handler, folder, explained(PICTURE))
    assert code == 200
    assert list(answer) == ["label", "class", "overlay", "entry", "study", "notice"]
    assert answer["label"] == answer["class"] == plain["label"]
    assert answer["notice"] == NOTICE
    overlay = Image.open(io.BytesIO(base64.b64decode(answer["overlay"])))
    assert (overlay.format, overlay.mode, overlay.size) == ("PNG", "RGB", (40, 40))
    picture = center_square(decode(GOOD[0]), 40)
    assert not np.array_equal(np.asarray(overlay), picture)
    large = file_of(Image.effect_noise((900, 700), 60).convert("RGB"), "JPEG")
    [(_, answer)] = ask(handler, folder, explained(("mole", bytearray(large), "image/jpeg")))
    assert Image.open(io.BytesIO(base64.b64decode(answer["overlay"]))).size == (512, 512)


@pytest.mark.parametrize(
    "request_",
    [
        explained(PICTURE, ("class", bytearray(b"vasc"), "")),
        (
            {"body": {"image": base64.b64encode(GOOD[0]).decode(), "class": "vasc"}},
            {"Content-Type": "application/json", "explain": "True"},
        ),
    ],
)
def test_the_class_that_is_explained_can_be_named(handler: LesionClassifier, folder: Path, request_: Request) -> None:
    (_, plain), (code, answer) = ask(handler, folder, explained(PICTURE), request_)
    assert (code, answer["class"]) == (200, "vasc")
    assert answer["label"] == plain["label"]


def test_explanations_and_predictions_that_arrive_together_are_right(handler: LesionClassifier, folder: Path) -> None:
    alone = [
        ask(handler, folder, request)[0]
        for request in (explained(PICTURE), form(PICTURE), explained(PICTURE, ("class", bytearray(b"df"), "")))
    ]
    before = {name: tensor.clone() for name, tensor in handler.model.state_dict().items()}
    for order in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):  # BaseHandler would go by the first
        requests = [
            (explained(PICTURE), form(PICTURE), explained(PICTURE, ("class", bytearray(b"df"), "")))[k] for k in order
        ]
        together = ask(handler, folder, requests[0], body(bytearray(b"hello")), *requests[1:])
        assert together.pop(1)[0] == 400
        for k, (code, answer) in zip(order, together, strict=True):
            wanted = alone[k][1]
            assert code == 200
            assert list(answer) == list(wanted)
            if "overlay" in wanted:
                assert (answer["label"], answer["class"]) == (wanted["label"], wanted["class"])
                shown, right = (
                    np.asarray(Image.open(io.BytesIO(base64.b64decode(one["overlay"])))).astype(int)
                    for one in (answer, wanted)
                )
                assert np.abs(shown - right).max() <= 1
            else:
                assert answer["probabilities"] == pytest.approx(wanted["probabilities"], abs=1e-6)
    assert all(torch.equal(before[name], tensor) for name, tensor in handler.model.state_dict().items())


def test_without_captum_predictions_are_answered_all_the_same(
    handler: LesionClassifier, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    (code, answer), (fine, other) = ask(handler, folder, explained(PICTURE), form(PICTURE))
    assert (code, fine) == (501, 200)
    assert "this server cannot explain" in answer["message"]
    assert "probabilities" in other


def test_a_worker_that_never_explains_imports_nothing_for_it() -> None:
    code = (
        "import sys, handlers.lesion_classifier; sys.exit(bool({'captum', 'matplotlib', 'scipy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_the_temperature_of_the_entry_is_applied_and_changes_no_label(tmp_path: Path) -> None:
    folder = model_dir(tmp_path)
    entry = json.loads((folder / "entry.json").read_text())
    (folder / "entry.json").write_text(json.dumps(entry | {"calibration": {"temperature": 0.25}}))
    handler = LesionClassifier()
    handler.initialize(context_of(folder))
    [(_, answer)] = ask(handler, folder, form(PICTURE))
    plain = np.array(list(expected(folder, GOOD[0]).values()))
    assert list(answer["probabilities"].values()) == pytest.approx(plain**4 / (plain**4).sum(), abs=1e-6)
    assert answer["label"] == CLASSES[plain.argmax()]


def test_a_version_describes_itself(handler: LesionClassifier, folder: Path) -> None:
    [(code, answer)] = ask(handler, folder, ({}, {"describe": "True"}))
    assert (code, answer["entry"], answer["architecture"]) == (200, "baseline", "test_efficientnet")


def test_the_worker_takes_one_thread(handler: LesionClassifier) -> None:
    assert torch.get_num_threads() == 1


def test_other_weights_than_those_of_the_entry_are_not_loaded(tmp_path: Path) -> None:
    folder = model_dir(tmp_path)
    content = bytearray((folder / "weights.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "weights.safetensors").write_bytes(content)
    with pytest.raises(RuntimeError, match="sha256"):
        LesionClassifier().initialize(context_of(folder))


@pytest.fixture(scope="module")
def asked(handler: LesionClassifier, folder: Path) -> Any:
    return lambda request: ask(handler, folder, request)[0]


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=300), st.sampled_from(["", "image/png", "application/json", "multipart/form-data"]))
@example(b'{"image": "\xff"}', "application/json")
def test_any_bytes_get_an_answer(asked: Any, content: bytes, kind: str) -> None:
    code, answer = asked(body(bytearray(content), kind))
    assert code in {200, 400, 413}
    assert code == 200 or answer["message"]


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_any_damaged_picture_gets_an_answer(asked: Any, data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(GOOD)))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(1, len(content)))
    code, answer = asked(body(content[:end]))
    assert code in {200, 400, 413}
    if code == 200:
        assert np.isclose(sum(answer["probabilities"].values()), 1, atol=1e-5)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["image", "class", "x"]), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(deadline=None, max_examples=150)
@given(VALUES | st.fixed_dictionaries({"image": st.just(base64.b64encode(GOOD[0]).decode()), "class": VALUES}))
def test_any_json_gets_an_answer(asked: Any, value: object) -> None:
    for content in (value, bytearray(json.dumps(value).encode())):  # parsed by TorchServe, or not
        code, answer = asked(({"body": content}, {"Content-Type": "application/json", "explain": "True"}))
        assert code in {200, 400}
        assert code == 200 or 0 < len(answer["message"]) < 500


def test_a_picture_has_its_time(handler: LesionClassifier, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = 400_000  # each stored on its own
    image = Image.new("L", (16, rows))
    slow = file_of(image, "TIFF", tiffinfo={278: 1})
    monkeypatch.setattr("handlers.lesion_classifier.SECONDS", 0.1)
    (code, answer), (fine, _) = ask(handler, folder, body(bytearray(slow)), body(bytearray(GOOD[0])))
    assert (code, fine) == (400, 200)
    assert "not decoded in 0.1 seconds" in answer["message"]


def test_many_files_are_not_all_named(handler: LesionClassifier, folder: Path) -> None:
    files = [(f"file {number}", bytearray(b"x"), "image/png") for number in range(10_000)]
    [(code, answer)] = ask(handler, folder, form(*files))
    assert code == 400
    assert answer["message"].startswith("10000 files (file 0, file 1, ")
    assert len(answer["message"]) < 300
