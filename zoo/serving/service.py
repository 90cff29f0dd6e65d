"""What every runtime asks of an archive: calls in, answers out. Copied into archives."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

PNG = "image/png"
REASONS = {
    400: "Bad Request",
    406: "Not Acceptable",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    501: "Not Implemented",
}
"""Reason phrases of refusals: in ASCII, because TorchServe counts characters and sends bytes."""


class Call(NamedTuple):
    """One request, without its transport."""

    fields: Mapping[str, Any]
    """The body under "body", or each field of a form under its own name: bytes, text, or what JSON was parsed into."""
    headers: Mapping[str, Any]
    """By name in lower case; a file of a form has `{"content-type": ...}` under its field's name."""
    explain: bool = False
    """Whether an explanation is asked for, rather than a prediction."""


class Answer(NamedTuple):
    """The answer to one call."""

    status: int
    """The HTTP status."""
    body: dict[str, Any]
    """What is sent as JSON."""
    png: bytes | None = None
    """A PNG that is sent instead, where the client asks for one."""


class Service(Protocol):
    """One served version. Safe to share between threads."""

    entry: dict[str, Any]
    """The archive's `entry.json`."""

    def answer(self, calls: Sequence[Call]) -> list[Answer]:
        """Answer each call on its own: one that cannot be answered never harms its neighbors."""


def refuse(status: int, message: str) -> Answer:
    """A refusal: its body has code, type and message."""
    return Answer(status, {"code": status, "type": REASONS[status].replace(" ", ""), "message": message})


def header(headers: Mapping[str, Any], name: str) -> str:
    """A header in lower case, empty where there is none; a form's file of that name is no header."""
    value = headers.get(name)
    return value.strip().lower() if isinstance(value, str) else ""


def refuse_encoding(headers: Mapping[str, Any]) -> Answer | None:
    """A refusal (415) of a compressed body; none where it is not compressed."""
    encoding = header(headers, "content-encoding")
    if encoding in ("", "identity"):
        return None
    return refuse(415, f"Content-Encoding: {encoding:.40} is not read; send the body as it is, not compressed")


def prefers_png(headers: Mapping[str, Any]) -> bool:
    """Whether the header Accept puts a picture before JSON (RFC 9110, section 12.5.1); of equals the first counts."""
    best, weight_of_best = "", 0.0
    for text in header(headers, "accept").split(","):
        name, *parameters = (part.strip() for part in text.split(";"))
        quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        weight = float(quality) if re.fullmatch(r"[01](\.\d{0,3})?", quality) else 0.0
        if name in (PNG, "image/*", "application/json", "*/*") and weight > weight_of_best:
            best, weight_of_best = name, weight
    return best.startswith("image/")


def origin(entry: Mapping[str, Any]) -> dict[str, str]:
    """What every answer has of its entry."""
    return {key: entry[key] for key in ("entry", "study", "notice")}
