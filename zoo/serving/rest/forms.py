"""The body of a request, as services take it: as it is, or each field of a form under its own name."""

from collections.abc import Mapping
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from zoo.serving.service import Call

MOST_FIELDS = 100
"""Of a form: a picture and a class are two."""
UNKNOWN = "application/octet-stream"
"""The content type of a file that names none."""


class FormError(ValueError):
    """A form that cannot be read; `str()` says why, for the person who sent it."""


def parse(content: bytes, headers: Mapping[str, str], explain: bool) -> Call:
    """A request with this body and these headers, by name in lower case. Raises `FormError`."""
    content_type = headers.get("content-type", "")
    kind, options = parse_options_header(content_type)
    fields: dict[str, Any] = {"body": content}
    files: dict[str, Any] = {}
    if kind == b"multipart/form-data":
        form = _Form(content, options.get(b"boundary", b""))
        fields, files = form.fields, form.files
    return Call(fields, {**headers, **files, "content-type": content_type}, explain)


class _Form:
    """A form of type multipart/form-data (RFC 7578), read into memory: no file of a form is written to disk."""

    def __init__(self, content: bytes, boundary: bytes) -> None:
        self.fields: dict[str, bytes] = {}
        self.files: dict[str, dict[str, str]] = {}
        self._name, self._value, self._header = "", bytearray(), bytearray()
        self._headers: dict[bytes, str] = {}
        self._whole = False
        if not boundary:
            raise FormError("a form without a boundary in its Content-Type")
        try:
            parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._name_field,
                    "on_part_data": lambda data, start, end: self._value.extend(data[start:end]),
                    "on_part_end": self._end,
                    "on_end": self._finish,
                },
            )
            parser.write(content)
        except FormParserError as error:
            raise FormError(f"the form is damaged ({error!s:.200})") from None
        if not self._whole:
            raise FormError("the form is cut short: it has no end")

    def _begin(self) -> None:
        if len(self.fields) == MOST_FIELDS:
            raise FormError(f"a form of more than {MOST_FIELDS} fields")
        self._headers = {}

    def _end_header(self) -> None:
        self._headers[bytes(self._header).lower()] = self._value.decode("latin-1")
        self._header, self._value = bytearray(), bytearray()

    def _name_field(self) -> None:
        """Note the name of the field whose headers have been read, and that it is a file if it has a file's name."""
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        if b"name" not in options:
            raise FormError("a field of the form has no name")
        self._name = options[b"name"].decode(errors="replace")
        if self._name in self.fields:
            raise FormError(f"the form has two fields named {self._name!r:.60}; send one picture a request")
        if b"filename" in options:
            self.files[self._name.lower()] = {"content-type": self._headers.get(b"content-type") or UNKNOWN}

    def _end(self) -> None:
        self.fields[self._name] = bytes(self._value)
        self._value = bytearray()

    def _finish(self) -> None:
        self._whole = True
