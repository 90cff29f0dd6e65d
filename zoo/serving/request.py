"""A request to a classifier: a picture, and perhaps the class to explain. Copied into archives."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from lesions.images import UnreadableImage
from zoo.serving.service import header

UPLOAD = "send the picture's bytes with -H 'Content-Type: image/jpeg', or upload it with curl -F image=@mole.jpg"
KEYS = ("image", "class")
"""Of a JSON object."""
FORM = 'send {"image": "<base64>"}, and for an explanation perhaps "class"'
PART = 1300
"""Bytes, at most, of what a form has around a file: its headers, with the file's name: 255 bytes, each perhaps as %41.
"""
FILE_NAME = re.compile(rb"@?[^\0\r\n]{0,250}\.(jpe?g|png|webp|tiff?|bmp|gif|heic|dcm)", re.IGNORECASE)


class Request(NamedTuple):
    """One request, however it was sent."""

    content: bytes
    """The bytes of the picture's file."""
    label: str | None
    """The class named by the form's field `class` or by JSON; none if there is none."""


def parse(fields: Mapping[str, Any], headers: Mapping[str, Any]) -> Request:
    """Read what the server passes on: `fields` by name, `headers` by name in lower case.

    A body is the field "body", a form's field has its own name; the URL's parameters are not handed on. Raises
    `UnreadableImage`.
    """
    kind = header(headers, "content-type")
    if kind.startswith("application/x-www-form-urlencoded"):  # curl's default for -d and --data-binary
        raise UnreadableImage(f"the body was sent as a web form; {UPLOAD}")
    given = dict(fields)
    label: str | None = None
    if kind.startswith("multipart/"):
        # The headers have a file's own content type under its field's name, and none for a field with a mere value.
        files = {name for name in given if isinstance(own := headers.get(name.lower()), dict) and own["content-type"]}
        if len(files) > 1:
            raise UnreadableImage(f"{len(files)} files ({', '.join(sorted(files)):.200}); send one picture a request")
        _check_lengths(given, headers, kind)
        if "class" not in files and len(given) > 1:
            label = _text(given.pop("class", None))
        if len(given) > 1 and (unknown := sorted(given.keys() - files)):
            lacks = "" if files else f"; no file among the form's fields: {UPLOAD}"
            raise UnreadableImage(f"unknown field {unknown[0]!r:.60}; a form has a picture and perhaps `class`{lacks}")
        if not given:
            raise UnreadableImage(f"no file among the form's fields; {UPLOAD}")
    content, own_label = _content(next(iter(given.values()), b""), kind)
    if FILE_NAME.fullmatch(content):
        name = content.decode(errors="replace").removeprefix("@")
        raise UnreadableImage(f"the name of a file, {name!r:.60}, and not the file; {UPLOAD}")
    return Request(content, own_label or label)


def _check_lengths(fields: Mapping[str, Any], headers: Mapping[str, Any], kind: str) -> None:
    """Raise `UnreadableImage` where the body was longer than what is here of it.

    TorchServe hands on the last of several fields of one name, so the others show in the body's length alone.
    """
    declared, values = header(headers, "content-length"), list(fields.values())
    if not declared.isdecimal() or not all(isinstance(value, bytes | bytearray) for value in values):
        return
    boundary = len(kind.partition("boundary=")[2])
    around = (len(values) + 1) * (boundary + 8) + len(values) * PART + sum(len(name) for name in fields)
    if int(declared) > sum(map(len, values)) + around:
        raise UnreadableImage("more than one file in a field; send one picture a request")


def _content(value: object, kind: str) -> Request:
    """The picture in the `value` of a field or a body of content type `kind`."""
    if isinstance(value, str):  # a text/* body, decoded on the way
        value = value.encode(errors="replace")  # JSON may hold half a surrogate pair
    if not isinstance(value, bytes | bytearray):
        return _from_json(value)
    # No picture begins with a brace. What is called JSON and still comes as bytes is not parsed.
    is_json = kind.startswith("application/json") or value[:64].lstrip()[:1] == b"{"
    return _from_json(_parsed(bytes(value))) if value and is_json else Request(bytes(value), None)


def _text(value: object) -> str | None:
    """A field's value; none if it is not there or empty."""
    if isinstance(value, bytes | bytearray):
        value = value.decode(errors="replace")
    return str(value) if value else None


def _parsed(content: bytes) -> object:
    if content.startswith(b"\x1f\x8b"):
        raise UnreadableImage("the body is compressed (gzip); send it as it is")
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UnreadableImage(f"the body is not JSON ({error})") from None


def _from_json(value: object) -> Request:
    """The request in `{"image": "<base64>", "class": "mel"}`; the image may be a `data:` URL."""
    pictures = value.get("image", value.get("images")) if isinstance(value, dict) else value
    if isinstance(pictures, list) and pictures:
        raise UnreadableImage(f"a list of {len(pictures)} in the JSON; send one picture a request: {FORM}")
    if isinstance(value, dict) and (unknown := sorted(key for key in map(str, value) if key not in KEYS)):
        raise UnreadableImage(f"unknown key {unknown[0]!r:.60} in the JSON; {FORM}")
    if not isinstance(value, dict) or not isinstance(text := value.get("image"), str):
        raise UnreadableImage(f"the JSON has no picture; {FORM}")
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        content = base64.b64decode("".join(text.split()), validate=True)  # encoders break lines
    except (binascii.Error, ValueError) as error:
        raise UnreadableImage(f'"image" is not base64 ({error})') from None
    if not content:
        raise UnreadableImage(f'"image" is empty; {FORM}')
    return Request(content, _text(value.get("class")))
