"""Requests of the Open Inference Protocol: pictures as files (BYTES) or as pixels (UINT8), in JSON or behind it.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol, with Triton's extension for binary
data.
"""

import base64
import binascii
import io
import json
import math
import struct
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, Field, ValidationError

from gateway.pictures import MOST_PICTURES, Picture
from gateway.problems import Problem

IMAGE, PIXELS = "image", "pixels"
"""The names of the two inputs; a request has one of them."""
HEADER_LENGTH = "inference-header-content-length"
"""The header with the bytes of JSON, where binary data follows."""


class Tensor(BaseModel):
    """An input. Its data is in JSON, or `parameters` say how many bytes of it follow the JSON."""

    name: str
    datatype: Literal["BYTES", "UINT8"]
    shape: Annotated[list[Annotated[int, Field(ge=0, le=2**31)]], Field(min_length=1, max_length=4)]
    parameters: dict[str, Any] = {}
    data: Any = None


class WantedOutput(BaseModel):
    """An output that is asked for."""

    name: str
    parameters: dict[str, Any] = {}


class InferRequest(BaseModel):
    """A request."""

    id: str | None = None
    inputs: Annotated[list[Tensor], Field(min_length=1, max_length=1)]
    outputs: list[WantedOutput] | None = None
    parameters: dict[str, Any] = {}


def parse(content: bytes, header_length: str) -> tuple[InferRequest, list[Picture]]:
    """The request in a body, and its pictures. `header_length` is the header of that name, or empty.

    Raises `Problem`: 400 for what is no request of the protocol, 413 for too many pictures, 422 for wrong tensors.
    """
    is_length = len(header_length) <= 20 and header_length.isdecimal() and int(header_length) <= len(content)
    if header_length and not is_length:
        raise Problem(400, f"Inference-Header-Content-Length: {header_length:.20} is not the length of the JSON")
    length = int(header_length) if header_length else len(content)
    try:
        request = InferRequest.model_validate(json.loads(content[:length]))
    except ValidationError as error:
        first = error.errors()[0]
        raise Problem(400, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise Problem(400, f"the body is not JSON ({error!s:.200})") from None
    [tensor] = request.inputs
    if tensor.name != (name := IMAGE if tensor.datatype == "BYTES" else PIXELS):
        raise Problem(422, f"an input of {tensor.datatype} is called {name}, and not {tensor.name:.70}")
    size = tensor.parameters.get("binary_data_size")
    binary = None if size is None else content[length:]
    if binary is not None and len(binary) != size:
        raise Problem(400, f"binary_data_size is {size!s:.20}, and {len(binary)} bytes follow the JSON")
    if tensor.datatype == "BYTES":
        files = _files(tensor) if binary is None else _binary_files(binary)
        if len(files) != math.prod(tensor.shape):
            raise Problem(422, f"{len(files)} elements, and the shape is {tensor.shape}")
        pictures = [Picture(file) for file in _few(files)]
    else:
        pictures = [Picture(_png(pixels)) for pixels in _few(_pixels(tensor, binary))]
    if not pictures:
        raise Problem(422, "no picture")
    return request, pictures


def _few(items: Any) -> Any:
    if len(items) > MOST_PICTURES:
        raise Problem(413, f"{len(items)} pictures; at most {MOST_PICTURES} at once")
    return items


def _files(tensor: Tensor) -> list[bytes]:
    """The elements in JSON. They are base64: the files of pictures are no text."""
    try:
        flat = np.array(tensor.data, dtype=object).ravel().tolist()
        return [base64.b64decode("".join(item.split()), validate=True) for item in flat]
    except (binascii.Error, ValueError, AttributeError):
        raise Problem(422, "in JSON, each element of BYTES is a picture's file in base64") from None


def _binary_files(content: bytes) -> list[bytes]:
    """The elements after the JSON: each has its length before it, in four bytes, the lowest first."""
    files, position = [], 0
    while position < len(content):
        try:
            (length,) = struct.unpack_from("<I", content, position)
        except struct.error:
            length = len(content)
        position += 4 + length
        if position > len(content):
            raise Problem(400, "the binary data is cut short")
        files.append(content[position - length : position])
    return files


def _pixels(tensor: Tensor, binary: bytes | None) -> NDArray[np.uint8]:
    """Pixels [n, height, width, 3], red, green, blue."""
    shape = tensor.shape if len(tensor.shape) == 4 else [1, *tensor.shape]
    if len(shape) != 4 or shape[3] != 3 or 0 in shape:
        raise Problem(422, f"the shape is {tensor.shape}; pixels have [n, height, width, 3], or without n")
    if binary is not None:
        values = np.frombuffer(binary, np.uint8)
    else:
        try:
            numbers = np.array(tensor.data).ravel()
        except ValueError:
            numbers = np.array([], dtype=np.float64)
        if numbers.dtype.kind not in "iu" or numbers.min(initial=0) < 0 or numbers.max(initial=0) > 255:
            raise Problem(422, "each pixel of UINT8 is a whole number from 0 to 255")
        values = numbers.astype(np.uint8)
    if values.size != math.prod(shape):
        raise Problem(422, f"{values.size} values, and the shape is {tensor.shape}")
    return values.reshape(shape)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """A file that holds exactly these pixels."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG", compress_level=1)
    return content.getvalue()
