"""The generator's handler, in a mock context and in a real TorchServe."""

import base64
import concurrent.futures
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from ts.context import Context, RequestProcessor

from gan.networks import Generator
from handlers.lesion_generator import LesionGenerator
from lesions.labels import CLASSES, NOTICE
from tests.networks import digest, save_generator
from tests.servers import connect, free_ports, pack, start, stop
from zoo.models.session import MODEL
from zoo.serving.generation import ALLOWED, LARGEST, MOST
from zoo.serving.http import ServerError

PIXELS, WIDTH = 32, 4


def made(folder: Path) -> tuple[dict[str, Any], Path]:
    """A random generator that draws images which differ, as an entry and its model."""
    torch.manual_seed(0)
    generator = Generator(PIXELS, WIDTH, spectral_norm=False)
    with torch.no_grad():
        generator.get_parameter("image.weight").mul_(4)
    model = save_generator(generator, WIDTH, folder / MODEL)
    entry = {
        "entry": "sagan",
        "study": "tests",
        "kind": "generator",
        "notice": NOTICE,
        "pixels": PIXELS,
        "width": WIDTH,
        "model_sha256": digest(model),
        "weights_sha256": "",
    }
    (folder / "entry.json").write_text(json.dumps(entry))
    return entry, model


@pytest.fixture(scope="module")
def handler(tmp_path_factory: pytest.TempPathFactory) -> LesionGenerator:
    folder = tmp_path_factory.mktemp("model")
    made(folder)
    handler = LesionGenerator()
    handler.initialize(Context("lesion_generator", str(folder), {"model": {}}, 1, None, "0.12.0"))
    return handler


def ask(handler: LesionGenerator, *bodies: object) -> list[tuple[int, Any]]:
    """Status and answer of each request of one batch."""
    context = Context("lesion_generator", "", {"model": {}}, len(bodies), None, "0.12.0")
    context.request_processor = [RequestProcessor({"Content-Type": "application/json"}) for _ in bodies]
    answers = handler.handle([{"body": body} for body in bodies], context)
    return [(context.get_response_status(k)[0], answer) for k, answer in enumerate(answers)]


def decoded(image: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    opened = Image.open(io.BytesIO(base64.b64decode(image)))
    assert (opened.format, opened.mode) == ("PNG", "RGB")
    return np.asarray(opened)


def test_images_differ_and_the_same_seed_gives_the_same(handler: LesionGenerator) -> None:
    request = {"class": "mel", "count": 9, "seed": 7}
    (_, first), (_, again) = ask(handler, request, json.dumps(request).encode())
    images = [decoded(image) for image in first["images"]]
    assert [image.shape for image in images] == [(PIXELS, PIXELS, 3)] * 9
    assert len({image.tobytes() for image in images}) == 9
    assert first["images"] == again["images"]
    single = [ask(handler, request | {"count": 1, "first": k})[0][1]["images"][0] for k in range(9)]
    assert single == first["images"], "an image depends on seed, class and number only"
    assert ask(handler, request | {"seed": 8})[0][1]["images"] != first["images"]
    assert ask(handler, request | {"class": "nv"})[0][1]["images"] != first["images"]


def test_grids(handler: LesionGenerator) -> None:
    (_, single), (_, all_) = ask(
        handler, {"class": "nv", "count": 11, "format": "grid"}, {"class": "all", "count": 3, "format": "grid"}
    )
    assert decoded(single["image"]).shape == (2 * PIXELS, 8 * PIXELS, 3)
    assert (decoded(single["image"])[PIXELS:, 3 * PIXELS :] == 255).all(), "what is missing is white"
    assert decoded(all_["image"]).shape == (7 * PIXELS, 3 * PIXELS, 3)
    row = ask(handler, {"class": CLASSES[4], "count": 3})[0][1]["images"]
    assert (decoded(all_["image"])[4 * PIXELS : 5 * PIXELS, :PIXELS] == decoded(row[0])).all()


def ask_with(handler: LesionGenerator, body: object, **headers: str) -> tuple[int, Any, str]:
    """Status, answer and content type of one request with further headers."""
    context = Context("lesion_generator", "", {"model": {}}, 1, None, "0.12.0")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    context.request_processor = [RequestProcessor({"Content-Type": "application/json"} | named)]
    [answer] = handler.handle([{"body": body}], context)
    return context.get_response_status(0)[0], answer, context.get_response_content_type(0)


def test_one_image_as_a_picture(handler: LesionGenerator) -> None:
    for request in ({"class": "mel", "seed": 7}, {"class": "all", "count": 2, "format": "grid"}):
        code, picture, kind = ask_with(handler, request, Accept="image/png")
        body = ask(handler, request)[0][1]
        assert (code, kind) == (200, "image/png")
        assert picture == base64.b64decode(body.get("image") or body["images"][0])
    code, refusal, kind = ask_with(handler, {"class": "mel", "count": 3}, Accept="image/png")
    assert (code, refusal["type"], kind) == (406, "NotAcceptable", "application/json")
    assert refusal["message"] == "3 images are no one PNG; ask for one image, or a grid, or JSON"
    assert ask_with(handler, {"class": "mel", "count": 3}, Accept="application/json, image/png")[0] == 200


def test_a_form_or_a_compressed_body_is_named(handler: LesionGenerator) -> None:
    for kind in ("multipart/form-data; boundary=x", "application/x-www-form-urlencoded"):
        code, refusal, _ = ask_with(handler, b"", Content_Type=kind)
        assert code == 400
        assert refusal["message"].startswith("the body was sent as a form; -H 'Content-Type: application/json'")
    body = gzip.compress(b'{"class": "mel"}')
    code, refusal, _ = ask_with(handler, body, Content_Encoding="gzip")
    assert (code, refusal["type"]) == (415, "UnsupportedMediaType")
    assert "Content-Encoding: gzip is not read" in refusal["message"]
    code, refusal, _ = ask_with(handler, body)
    assert code == 400
    assert "the body is compressed (gzip); send it as it is" in refusal["message"]


BAD: list[tuple[object, str]] = [
    (b"", "the body is empty"),
    (b"  ", "the body is empty"),
    (b'{"class": "mel", "cou', "the body is not JSON"),
    (b"\xff\xfe", "the body is not JSON"),
    (["mel"], "the body is no JSON object"),
    ({}, "class is null"),
    ({"class": "melanoma"}, 'class is "melanoma"'),
    ({"class": ["mel"]}, 'class is ["mel"]'),
    ({"class": "mel", "count": 0}, "count is 0"),
    ({"class": "mel", "count": -1}, "count is -1"),
    ({"class": "mel", "count": MOST + 1}, f"count is {MOST + 1}"),
    ({"class": "mel", "count": 10_001}, "count is 10001"),
    ({"class": "all", "count": 100}, "count is 100"),
    ({"class": "mel", "count": "many"}, 'count is "many"'),
    ({"class": "mel", "count": True}, "count is true"),
    ({"class": "mel", "seed": 1.5}, "seed is 1.5"),
    ({"class": "mel", "seed": "7"}, 'seed is "7"'),
    ({"class": "mel", "first": -1}, "first is -1"),
    ({"class": "mel", "format": "gif"}, 'format is "gif"'),
    ({"class": "mel", "sead": 7}, "unknown key 'sead'"),
    ({"class": "mel", "first": LARGEST}, f"first is {LARGEST}"),
    ({"class": "mel", "seed": 2**63}, f"seed is {2**63}"),
    ({"class": "mel", "seed": float("inf")}, "seed is Infinity"),
    ({"class": "mel" * 10_000}, 'class is "melmel'),
    ({"mel" * 10_000: 1}, "unknown key 'melmel"),
]


@pytest.mark.parametrize(("body", "message"), BAD, ids=[message for _, message in BAD])
def test_what_cannot_be_answered_is_refused_with_what_is_allowed(
    handler: LesionGenerator, body: object, message: str
) -> None:
    (status, refusal), (good, _) = ask(handler, body, {"class": "df"})
    assert (status, refusal["code"]) == (400, 400)
    assert message in refusal["message"]
    assert ALLOWED in refusal["message"]
    assert len(refusal["message"]) < 500
    assert good == 200, "its neighbor is answered"


def test_the_first_and_the_last_images_are_drawn(handler: LesionGenerator) -> None:
    request = {"class": "mel", "count": 3, "seed": 2**63 - 1, "first": LARGEST - 1}
    (status, answer), (other, again) = ask(handler, request, request | {"count": 3.0, "first": LARGEST - 2})
    assert (status, other) == (200, 200)
    assert answer["images"][:2] == again["images"][1:], "to JSON 3.0 is 3, too"


ANY = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=4)


@given(st.dictionaries(st.sampled_from(["class", "count", "seed", "first", "format", "x"]), ANY) | ANY | st.binary())
def test_whatever_comes_is_answered(handler: LesionGenerator, body: object) -> None:
    ((status, answer),) = ask(handler, body)
    if status == 200:  # hypothesis tries constants of the code, too: a few of them are good requests
        parsed = body if isinstance(body, dict) else json.loads(body)  # type: ignore[arg-type]
        assert answer["class"] == parsed["class"]
    else:
        assert status == 400
        assert ALLOWED in answer["message"]


class Served(NamedTuple):
    """A running server."""

    folder: Path
    port: int


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("server")
    entry, model = made(root)
    pack(entry, model, root / "store" / "sagan.mar")
    port = free_ports()
    try:
        start(root / "store", root / "serve", port)
        yield Served(root / "serve", port)
    finally:
        stop(root / "serve")


@pytest.mark.server
def test_ten_at_once_with_a_bad_one(served: Served, handler: LesionGenerator) -> None:
    with connect(served.folder, served.port) as zoo, concurrent.futures.ThreadPoolExecutor(10) as pool:

        def synthesize(k: int) -> list[bytes] | ServerError:
            try:
                return zoo.synthesize("melanoma" if k == 3 else CLASSES[k % 7], 5, k, "sagan")
            except ServerError as error:
                return error

        answers = list(pool.map(synthesize, range(10)))
        many = zoo.synthesize("bcc", 70, 1, "sagan")
        grid = zoo.grid("all", 2, 1, "sagan")
    for k, answer in enumerate(answers):
        if k == 3:
            assert isinstance(answer, ServerError)
            assert answer.code == 400
            assert ALLOWED in str(answer)
        else:
            offline = ask(handler, {"class": CLASSES[k % 7], "count": 5, "seed": k})[0][1]["images"]
            assert isinstance(answer, list)
            # Another process may round otherwise, by a level of 255 at most.
            pairs = zip(offline, (base64.b64encode(image).decode() for image in answer), strict=True)
            differences = [decoded(mine).astype(int) - decoded(other) for mine, other in pairs]
            assert np.abs(differences).max() <= 1, "the same images as offline"
    assert len(set(many)) == 70, "asked for in parts, and each another"
    assert Image.open(io.BytesIO(grid)).size == (2 * PIXELS, 7 * PIXELS)


@pytest.mark.server
@pytest.mark.parametrize("body", [b"", b'{"class": "mel", "cou', b'{"class": "mel", "count": 10001}'])
def test_bad_bodies_over_http(served: Served, body: bytes) -> None:
    key = json.loads((served.folder / "key_file.json").read_text())["inference"]["key"]
    answer = httpx.post(
        f"http://127.0.0.1:{served.port}/predictions/lesion_generator/sagan",
        content=body,
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        timeout=60,
        trust_env=False,
    )
    assert answer.status_code == 400
    assert ALLOWED in answer.json()["message"]
