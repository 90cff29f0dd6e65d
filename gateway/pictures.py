"""The pictures in a request: its body, the files of a form, or base64 in JSON; one of them or several."""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from python_multipart.exceptions import FormParserError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from gateway import body
from gateway.problems import Problem

MOST_PICTURES = 64
"""In one request."""
CLASS = "class"
"""The field, key or parameter that names the class to explain."""
HOW = 'send the picture\'s bytes, a form with files (curl -F image=@mole.jpg), or {"image": "<base64>"}'


@dataclass
class Picture:
    """One picture of a request."""

    content: bytes
    """The bytes of its file."""
    name: str = ""
    """The file's, as the client calls it."""
    problem: Problem | None = None
    """Why it could not be read."""


@dataclass
class Sent:
    """What a request holds."""

    pictures: list[Picture]
    several: bool
    """Whether the answer is a list."""
    label: str | None = None
    """The class to explain."""


async def read(request: Request, most: int) -> Sent:
    """Read the body, `most` bytes at most. Raises `Problem`: those of `body.stream`, 400, 413 and 422."""
    if request.headers.get("content-type", "").strip().lower().startswith("multipart/"):
        sent = await _from_form(request, most)
    else:
        content = await body.read(request, most)
        # Of any content type, or of none: curl --data-binary says it is a web form. No picture begins with a bracket.
        sent = (
            await run_in_threadpool(_from_json, content)
            if content[:64].lstrip()[:1] in (b"{", b"[")
            else Sent([Picture(content)], several=False)
        )
    if not sent.pictures or not (sent.several or sent.pictures[0].content or sent.pictures[0].problem):
        raise Problem(422, f"no picture; {HOW}")
    if len(sent.pictures) > MOST_PICTURES:
        raise Problem(413, f"{len(sent.pictures)} pictures; at most {MOST_PICTURES} at once")
    return sent


class _FormParser(MultiPartParser):
    """A parser that keeps files in memory: no picture is written to disk. Their size is limited as they arrive."""

    spool_max_size = 2**40
    whole = False

    def on_end(self) -> None:
        self.whole = True


async def _from_form(request: Request, most: int) -> Sent:
    parser = _FormParser(
        request.headers, body.stream(request, most), max_files=MOST_PICTURES, max_fields=1, max_part_size=200
    )
    try:
        async with body.in_time():
            form = await parser.parse()
    except (MultiPartException, FormParserError, UnicodeError) as error:  # UnicodeError: "charset=undefined"
        many = "Too many files" in str(error)
        detail = f"at most {MOST_PICTURES} pictures at once" if many else f"the form cannot be read ({error!s:.200})"
        raise Problem(413 if many else 400, detail) from None
    if not parser.whole:
        raise Problem(400, "the form is cut short: it has no end")
    pictures: list[Picture] = []
    label: str | None = None
    for field, value in form.multi_items():
        if isinstance(value, UploadFile):
            pictures.append(Picture(await value.read(), value.filename or field))
        elif field == CLASS:
            label = value or None
        else:
            raise Problem(422, f"unknown field {field!r:.60}; {HOW}")
    return Sent(pictures, len(pictures) > 1, label)


def _from_json(content: bytes) -> Sent:
    """`{"image": "<base64>", "class": "mel"}`, `{"images": [...]}`, or a list; of texts, or of `{"image": ...}`."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Problem(400, f"the body is not JSON ({error!s:.200})") from None
    given: dict[str, Any] = {"images": value} if isinstance(value, list) else value
    if unknown := sorted(given.keys() - {"image", "images", CLASS}):
        raise Problem(422, f"unknown key {unknown[0]!r:.60}; {HOW}")
    label = given.get(CLASS)
    if not isinstance(label, str | None) or ("image" in given) == ("images" in given):
        raise Problem(422, f"no picture; {HOW}")
    if "image" in given:
        picture = _picture(given["image"])
        if picture.problem:
            raise picture.problem
        return Sent([picture], several=False, label=label or None)
    if not isinstance(given["images"], list):
        raise Problem(422, f"images is no list; {HOW}")
    return Sent([_picture(item) for item in given["images"][: MOST_PICTURES + 1]], several=True, label=label or None)


def _picture(value: object) -> Picture:
    text = value.get("image") if isinstance(value, dict) and value.keys() == {"image"} else value
    if not isinstance(text, str):
        return Picture(b"", problem=Problem(422, f"a picture is base64 text; {HOW}"))
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        content = base64.b64decode("".join(text.split()), validate=True)  # encoders break lines
    except (binascii.Error, ValueError) as error:
        return Picture(b"", problem=Problem(422, f"the picture is not base64 ({error})"))
    return Picture(content, problem=None if content else Problem(422, f"the picture is empty; {HOW}"))
