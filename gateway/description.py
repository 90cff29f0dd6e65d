"""What the code does not say of its calls by itself: bodies and answers, for /openapi.json."""

from typing import Any

from pydantic import BaseModel, Field

from gateway.problems import MEDIA_TYPE, ProblemBody
from lesions.labels import CLASSES
from zoo.serving.generation import ALL, FORMATS, LARGEST, MOST

Responses = dict[int | str, dict[str, Any]]

REASONS = {
    400: "A body that cannot be taken to pieces: damaged JSON, form or gzip.",
    401: "No API key, or one that is not valid.",
    403: "The key may not make this call.",
    404: "No such version.",
    406: "A picture is asked for, and the answer has several.",
    408: "The body did not arrive in time.",
    413: "Too many bytes, pixels or pictures.",
    415: "An encoding (Content-Encoding) that is not read.",
    422: "No picture, or one that cannot be read; a class or a key that is not known.",
    429: "The key has asked too often; Retry-After says when it may again.",
    501: "This version cannot explain.",
    503: "The queue is full, or the runtime does not answer; Retry-After says when to ask again.",
}


class Model(BaseModel):
    """A served version."""

    name: str
    model: str
    default: bool
    """Whether it answers where a call names none."""


class Classification(BaseModel):
    """What a classifier says of a picture."""

    id: str
    """Of this answer, for feedback."""
    label: str
    probabilities: dict[str, float]
    """Calibrated, by class."""
    distance: float | None = None
    """Of what the network sees of the picture from what it sees of validation's: about 1 where they are alike. Not
    there where the version's archive was packed without them."""
    entry: str
    study: str
    notice: str


class Explanation(BaseModel):
    """Where a classifier sees a class."""

    label: str
    explained: str = Field(alias="class")
    """As asked, else the label."""
    overlay: str
    """A PNG, in base64."""
    blank: bool
    entry: str
    study: str
    notice: str


class Row(BaseModel):
    """The answer to one picture of several."""

    index: int
    name: str | None
    status: int
    answer: dict[str, Any] | None = None
    error: ProblemBody | None = None


class Rows(BaseModel):
    """The answers to several pictures, in their order."""

    answers: list[Row]


class Synthesis(BaseModel):
    """Synthetic lesions, as PNGs in base64: `images`, or one `image` for a grid."""

    drawn: str = Field(alias="class")
    """A class, or all."""
    count: int
    """Of each class."""
    seed: int
    first: int
    """The number of the first image in its seed."""
    format: str
    pixels: int
    """Of a side of one image."""
    images: list[str] | None = None
    classes: list[str] | None = None
    """Of each of `images`."""
    image: str | None = None
    entry: str
    study: str
    notice: str


def problems(*statuses: int) -> Responses:
    """Error answers of these statuses."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}
    return {status: {"description": REASONS[status], "content": content} for status in statuses}


KEYED = problems(401, 403, 404, 422, 429, 503)
"""Of every call that needs a key."""
BODY = problems(400, 406, 408, 413, 415, 501)
"""What a call with a body has beside these."""
PNG = {"image/png": {"schema": {"type": "string", "format": "binary"}}}
CLASSIFIED: Responses = BODY | {
    200: {"model": Classification | Rows, "description": "An answer, or one for each picture."}
}
EXPLAINED: Responses = BODY | {
    200: {"model": Explanation | Rows, "description": "An explanation, or several.", "content": PNG}
}
SYNTHESIZED: Responses = BODY | {200: {"model": Synthesis, "description": "Synthetic lesions.", "content": PNG}}
CARD: Responses = {200: {"description": "The card.", "content": {"text/markdown": {"schema": {"type": "string"}}}}}
METRICS: Responses = {200: {"description": "The metrics.", "content": {"text/plain": {"schema": {"type": "string"}}}}}

_FILE = {"type": "string", "format": "binary"}
_BASE64 = {"type": "string", "format": "byte"}
_CLASS = {"type": "string", "enum": list(CLASSES)}
_IMAGE = {
    "type": "object",
    "required": ["image"],
    "properties": {"image": _BASE64, "class": _CLASS},
    "additionalProperties": False,
}
_IMAGES = {
    "type": "object",
    "required": ["images"],
    "properties": {"images": {"type": "array", "items": _BASE64, "minItems": 1}, "class": _CLASS},
    "additionalProperties": False,
}
_FORM = {"type": "object", "properties": {"image": {"type": "array", "items": _FILE}, "class": _CLASS}}
PICTURES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "One picture or several, packed (`Content-Encoding: gzip`) or not. The content type is "
        "looked at for a form alone. `class` is for explanations.",
        "content": {
            "image/*": {"schema": _FILE},
            "application/json": {"schema": {"oneOf": [_IMAGE, _IMAGES]}},
            "multipart/form-data": {"schema": _FORM},
        },
    }
}
FEEDBACK: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["id", "label"],
                    "properties": {"id": {"type": "string", "pattern": "^[0-9a-f]{32}$"}, "label": _CLASS},
                    "additionalProperties": False,
                }
            }
        },
    }
}
GENERATION: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["class"],
                    "properties": {
                        "class": {"type": "string", "enum": [*CLASSES, ALL]},
                        "count": {"type": "integer", "minimum": 1, "maximum": MOST, "default": 1},
                        "seed": {"type": "integer", "default": 0},
                        "first": {"type": "integer", "minimum": 0, "maximum": LARGEST - 1, "default": 0},
                        "format": {"type": "string", "enum": list(FORMATS), "default": FORMATS[0]},
                    },
                    "additionalProperties": False,
                }
            }
        },
    }
}

_SETTINGS = {"type": "object"}
_SHAPE = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1, "maxItems": 4}
_TENSOR = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {
        "name": {"type": "string"},
        "datatype": {"enum": ["BYTES", "UINT8"]},
        "shape": _SHAPE,
        "parameters": _SETTINGS,
        "data": {"type": "array"},
    },
}
_OUTPUT = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
_INFERENCE = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "parameters": _SETTINGS,
        "inputs": {"type": "array", "minItems": 1, "maxItems": 1, "items": _TENSOR},
        "outputs": {"type": "array", "items": _OUTPUT},
    },
}
INFERENCE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "Files of pictures in base64 (BYTES), or RGB pixels [n, height, width, 3] (UINT8); "
        "either may follow the JSON (binary_tensor_data).",
        "content": {"application/json": {"schema": _INFERENCE}},
    }
}
