"""Requests to a generator, read and checked. Copied into archives."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lesions.labels import CLASSES

MOST = 256
"""The most images in one response: at 128 px they fit into 10 MB and 30 seconds. `first` asks for the next ones."""
LARGEST = 2**62
"""The bound of `first`, well within 64 bits, since the last chunk of images goes beyond it."""
ALL = "all"
FORMATS = ("png", "grid")

ALLOWED = (
    f'send JSON: {{"class": one of {", ".join(CLASSES)} or {ALL}, "count": 1 to {MOST} (of all classes together), '
    f'"seed": an integer of 64 bits, "first": an integer from 0, "format": {" or ".join(FORMATS)}}}; '
    'only "class" has no default'
)


class InvalidRequest(ValueError):
    """A request that cannot be answered; `str()` says why, and what is allowed."""


@dataclass(frozen=True)
class GenerationRequest:
    """A valid request."""

    classes: tuple[int, ...]
    """Class numbers."""
    count: int
    """Images of each class."""
    seed: int
    first: int
    """The index of the first image: after 16 images from 0 on, the next 16 are those from 16 on."""
    format: str


def parse(request: Mapping[str, Any], headers: Mapping[str, Any] | None = None) -> GenerationRequest:
    """Read a `request` as the server passes it on, with a JSON body; `headers` by name in lower case.

    Raises `InvalidRequest`.
    """
    kind = str((headers or {}).get("content-type", "")).lower()
    if kind.startswith(("multipart/", "application/x-www-form-urlencoded")):  # curl's defaults for -F and -d
        raise InvalidRequest(f"the body was sent as a form; -H 'Content-Type: application/json', and {ALLOWED}")
    body = request.get("body", request.get("data", b""))
    if isinstance(body, bytes | bytearray | str):
        if not body.strip():
            raise InvalidRequest(f"the body is empty; {ALLOWED}")
        if not isinstance(body, str) and body.startswith(b"\x1f\x8b"):
            raise InvalidRequest(f"the body is compressed (gzip); send it as it is; {ALLOWED}")
        try:
            body = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise InvalidRequest(f"the body is not JSON ({error}); {ALLOWED}") from None
    if not isinstance(body, dict):
        raise InvalidRequest(f"the body is no JSON object; {ALLOWED}")
    if unknown := sorted(set(body) - {"class", "count", "seed", "first", "format"}):
        raise InvalidRequest(f"unknown key {unknown[0]!r:.60}; {ALLOWED}")
    name = body.get("class")
    if name != ALL and name not in CLASSES:
        raise InvalidRequest(f"class is {json.dumps(name):.60}; {ALLOWED}")
    classes = tuple(range(len(CLASSES))) if name == ALL else (CLASSES.index(name),)
    count = _integer(body, "count", 1)
    if not 1 <= count * len(classes) <= MOST:
        raise InvalidRequest(f"count is {count}; {ALLOWED}")
    first = _integer(body, "first", 0)
    if not 0 <= first < LARGEST:
        raise InvalidRequest(f"first is {first}; {ALLOWED}")
    format_ = body.get("format", "png")
    if format_ not in FORMATS:
        raise InvalidRequest(f"format is {json.dumps(format_):.60}; {ALLOWED}")
    return GenerationRequest(classes, count, _integer(body, "seed", 0), first, format_)


def _integer(body: Mapping[str, Any], key: str, default: int) -> int:
    value = body.get(key, default)
    if isinstance(value, float) and value.is_integer():  # to JSON, 7.0 is an integer, too
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**63:
        raise InvalidRequest(f"{key} is {json.dumps(value):.60}; {ALLOWED}")
    return value
