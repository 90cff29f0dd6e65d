"""The Open Inference Protocol: metadata, and pictures as files and as pixels, in JSON and behind it."""

import base64
import io
import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from starlette.testclient import TestClient

from gateway import tensors
from gateway.pictures import MOST_PICTURES
from gateway.problems import Problem
from tests.gateway.calls import PICTURE, Front, problem

MODEL = "/v2/models/lesion_classifier"
INFER = f"{MODEL}/versions/transfer/infer"
BASE64 = base64.b64encode(PICTURE).decode()
PIXELS = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)


def image(*data: Any, shape: list[int] | None = None) -> dict[str, Any]:
    tensor = {"name": "image", "datatype": "BYTES", "shape": shape or [len(data)], "data": list(data)}
    return {"id": "7", "inputs": [tensor]}


def pixels(data: Any, shape: list[int]) -> dict[str, Any]:
    return {"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": shape, "data": data}]}


def with_binary(request: dict[str, Any], content: bytes, size: int | None = None) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a request whose data follows its JSON."""
    [tensor] = request["inputs"]
    tensor.pop("data", None)
    tensor["parameters"] = {"binary_data_size": len(content) if size is None else size}
    head = json.dumps(request).encode()
    return head + content, {"Inference-Header-Content-Length": str(len(head))}


def test_metadata(client: TestClient) -> None:
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    body = client.get(MODEL).json()
    assert body["versions"] == ["baseline", "transfer"]
    assert {tensor["datatype"] for tensor in body["inputs"]} == {"BYTES", "UINT8"}
    assert body["outputs"][0]["shape"] == [-1, 7]
    assert client.get(f"{MODEL}/versions/transfer").json()["versions"] == ["transfer"]
    assert client.get(f"{MODEL}/versions/transfer/ready").json()["ready"]
    for path in (f"{MODEL}/versions/nobody", "/v2/models/nobody", "/v2/models/lesion_generator/ready"):
        assert problem(client.get(path), 404)["error"]


def test_a_picture_counts_once(front: Front) -> None:
    client = front.client(rate="5/hour")
    for pictures in ([BASE64, BASE64], [BASE64], [BASE64, BASE64]):
        assert client.post(INFER, json=image(*pictures)).status_code == 200
    assert client.post(INFER, json=image(BASE64)).status_code == 429


def test_files_in_json(front: Front, client: TestClient) -> None:
    answer = client.post(INFER, json=image(BASE64, BASE64))
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["model_name"], body["model_version"], body["id"]) == ("lesion_classifier", "transfer", "7")
    assert [(one["name"], one["shape"], len(one["data"])) for one in body["outputs"]] == [
        ("probabilities", [2, 7], 14),
        ("label", [2], 2),
        ("id", [2], 2),
    ]
    assert [asked.body for asked in front.runtime.asked] == [PICTURE, PICTURE]
    assert client.post(f"{MODEL}/infer", json=image(BASE64)).json()["model_version"] == "baseline"


def test_outputs_that_are_asked_for(client: TestClient) -> None:
    [output] = client.post(INFER, json=image(BASE64) | {"outputs": [{"name": "label"}]}).json()["outputs"]
    assert output == {"name": "label", "datatype": "BYTES", "shape": [1], "data": ["nv"]}
    problem(client.post(INFER, json=image(BASE64) | {"outputs": [{"name": "logits"}]}), 422, "no output 'logits'")


def test_files_behind_json(front: Front, client: TestClient) -> None:
    content = b"".join(struct.pack("<I", len(file)) + file for file in (PICTURE, b"other"))
    body, headers = with_binary(image(shape=[2, 1]), content)
    assert client.post(INFER, content=body, headers=headers).status_code == 200
    assert [asked.body for asked in front.runtime.asked] == [PICTURE, b"other"]


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("one", [False, True])
def test_pixels(front: Front, client: TestClient, binary: bool, one: bool) -> None:
    sent = PIXELS[0] if one else PIXELS
    if binary:
        body, headers = with_binary(pixels(None, list(sent.shape)), sent.tobytes())
    else:
        body, headers = json.dumps(pixels(sent.tolist(), list(sent.shape))).encode(), {}
    answer = client.post(INFER, content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    read = [np.array(Image.open(io.BytesIO(asked.body))) for asked in front.runtime.asked]
    assert np.array_equal(read, PIXELS[:1] if one else PIXELS)


def test_flat_pixels(client: TestClient) -> None:
    assert client.post(INFER, json=pixels(PIXELS.ravel().tolist(), list(PIXELS.shape))).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({}, 400, "inputs: Field required"),
        ({"inputs": []}, 400, "inputs"),
        (image("a", "b")["inputs"][0], 400, "inputs"),
        ({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1]}]}, 400, "datatype"),
        (image("***"), 422, "in base64"),
        ({"inputs": [{"name": "x", "datatype": "UINT8", "shape": [1]}]}, 422, "of UINT8 is called pixels, and not x"),
        ({"inputs": [{"name": "pixels", "datatype": "BYTES", "shape": [1]}]}, 422, "called image, and not pixels"),
        (image(7), 422, "in base64"),
        (image(BASE64, shape=[2]), 422, "1 elements, and the shape is [2]"),
        (image(shape=[0]), 422, "no picture"),
        (image(*["aaaa"] * (MOST_PICTURES + 1)), 413, "at most 64"),
        (image(BASE64, base64.b64encode(b"damaged").decode()), 422, "picture 1: the image is damaged"),
        (pixels([1, 2], [2]), 422, "pixels have [n, height, width, 3]"),
        (pixels([1, 2, 3], [1, 1, 1, 4]), 422, "pixels have"),
        (pixels([1, 2], [1, 1, 3]), 422, "2 values, and the shape is [1, 1, 3]"),
        (pixels([1, 2, 256], [1, 1, 3]), 422, "from 0 to 255"),
        (pixels([1, 2, -1], [1, 1, 3]), 422, "from 0 to 255"),
        (pixels([1, 2, 0.5], [1, 1, 3]), 422, "from 0 to 255"),
        (pixels([1, [2, 3]], [1, 1, 3]), 422, "from 0 to 255"),
        (pixels(["a"], [1, 1, 3]), 422, "from 0 to 255"),
        (pixels(None, [1, 1, 3]), 422, "from 0 to 255"),
        (pixels([2**70, 1, 1], [1, 1, 3]), 422, "from 0 to 255"),
    ],
)
def test_what_cannot_be_read(client: TestClient, body: Any, status: int, message: str) -> None:
    refused = problem(client.post(INFER, json=body), status, message)
    assert refused["error"] == refused["detail"]


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (with_binary(image(shape=[1]), b"\1\0\0"), "cut short"),
        (with_binary(image(shape=[1]), b"\5\0\0\0abc"), "cut short"),
        (with_binary(image(shape=[1]), b"abc", 7), "binary_data_size is 7, and 3 bytes follow"),
        ((b"{}", {"Inference-Header-Content-Length": "3"}), "is not the length"),
        ((b"{}", {"Inference-Header-Content-Length": "-1"}), "is not the length"),
        ((b"{}", {"Inference-Header-Content-Length": "9" * 5000}), "is not the length"),
        ((b"{}", {"Inference-Header-Content-Length": "0" * 5001}), "is not the length"),
        ((b"{", {}), "not JSON"),
        ((b"\xff", {}), "not JSON"),
        ((b"[" * 90_000, {}), "not JSON"),
    ],
)
def test_damaged_bodies(client: TestClient, sent: tuple[bytes, dict[str, str]], message: str) -> None:
    content, headers = sent
    problem(client.post(INFER, content=content, headers=headers), 400, message)


def test_another_model_or_version(front: Front, client: TestClient) -> None:
    problem(client.post("/v2/models/nobody/infer", json=image(BASE64)), 404, "no model 'nobody'")
    problem(client.post(f"{MODEL}/versions/nobody/infer", json=image(BASE64)), 404, "no entry 'nobody' is served")
    front.runtime.dead = True
    assert client.post(INFER, json=image(BASE64)).headers["Retry-After"] == "1"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
TENSORS = st.fixed_dictionaries(
    {"name": st.text(), "datatype": st.sampled_from(["BYTES", "UINT8"]), "shape": st.lists(st.integers(0, 5))},
    optional={"data": JSON, "parameters": st.dictionaries(st.just("binary_data_size"), st.integers(0, 9) | JSON)},
)


@given(TENSORS, st.binary(max_size=9), st.booleans())
def test_anything_is_read_or_is_a_problem(tensor: dict[str, Any], binary: bytes, behind: bool) -> None:
    head = json.dumps({"inputs": [tensor]}).encode()
    try:
        _, pictures = tensors.parse(head + binary, str(len(head)) if behind else "")
    except Problem as refused:
        assert refused.status in (400, 413, 422)
    else:
        assert pictures
