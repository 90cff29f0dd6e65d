"""Forms: whole ones field by field, files with their content types, and all others a `FormError`."""

import random
import time
from contextlib import suppress

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.serving.rest.forms import MOST_FIELDS, FormError, parse
from zoo.serving.service import Call

KIND = "multipart/form-data; boundary=x"


def part(headers: str, content: bytes = b"1") -> bytes:
    return f"--x\r\n{headers}\r\n\r\n".encode() + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--x--\r\n"


def field(name: str, content: bytes = b"1") -> bytes:
    return part(f'Content-Disposition: form-data; name="{name}"', content)


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\%'), min_size=1, max_size=8)


@given(st.dictionaries(NAMES, st.binary(max_size=300), max_size=3), st.dictionaries(NAMES, st.binary(max_size=300)))
def test_what_a_client_packs_is_unpacked(files: dict[str, bytes], fields: dict[str, bytes]) -> None:
    fields = {name: value for name, value in list(fields.items())[:5] if name not in files}
    parts = {name: ("mole.png", content, "image/png") for name, content in files.items()}
    parts |= {name: (None, content) for name, content in fields.items()}  # type: ignore[misc]
    if not parts:
        return
    request = httpx.Request("POST", "http://x", files=parts)
    call = parse(request.read(), {"content-type": request.headers["Content-Type"]}, explain=True)
    assert call.fields == files | fields
    own = {name.lower(): {"content-type": "image/png"} for name in files if name.lower() != "content-type"}
    assert call.headers == own | {"content-type": request.headers["Content-Type"]}
    assert call.explain


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "image/jpeg",
        "application/json",
        "application/x-www-form-urlencoded",  # refused by what is asked: curl sends pictures so
        "text/plain",
        "multipart/mixed; boundary=x",
        "/",
    ],
)
def test_what_is_no_form_is_handed_on_as_it_is(kind: str) -> None:
    assert parse(b"\xff{}", {"content-type": kind}, explain=False) == Call(
        {"body": b"\xff{}"}, {"content-type": kind}, False
    )


def test_a_file_is_what_has_a_files_name() -> None:
    content = form(
        part('Content-Disposition: form-data; name="a"; filename=""', b"\r\n--xx"),
        part('Content-Disposition: form-data; name="b"\r\nContent-Type: image/png', b""),
        part('content-disposition: form-data; filename="x"; name="C"\r\nContent-Type:'),
    )
    call = parse(content + b"epilogue", {"content-type": KIND}, False)
    assert call.fields == {"a": b"\r\n--xx", "b": b"", "C": b"1"}
    unknown = {"content-type": "application/octet-stream"}
    assert call.headers == {"a": unknown, "c": unknown, "content-type": KIND}


def test_no_file_takes_the_place_of_the_content_type() -> None:
    content = form(part('Content-Disposition: form-data; name="Content-Type"; filename="x"'))
    assert parse(content, {"content-type": KIND}, False).headers == {"content-type": KIND}


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        (form(field("a")), "multipart/form-data", "a form without a boundary"),
        (form(field("a")), "multipart/form-data; boundary=", "a form without a boundary"),
        (form(field("a")), f"multipart/form-data; boundary={'y' * 300}", "the form is damaged"),
        (form(field("a")), "multipart/form-data; boundary=y", "the form is damaged"),
        (b"", KIND, "the form is cut short"),
        (form(field("a"))[:-6], KIND, "the form is cut short"),
        (form(field("a"))[:20], KIND, "the form is cut short"),
        (form(part("Content-Disposition: nonsense")), KIND, "a field of the form has no name"),
        (form(part("X: y")), KIND, "a field of the form has no name"),
        (form(b"--x\r\n\r\n1\r\n"), KIND, "a field of the form has no name"),
        (form(part("no colon")), KIND, "the form is damaged"),
        (form(part(f"X: {'y' * 10_000}")), KIND, "the form is damaged"),
        (form(field("a"), field("b"), field("a")), KIND, "two fields named 'a'; send one picture a request"),
        (form(*(field(str(number)) for number in range(MOST_FIELDS + 1))), KIND, f"more than {MOST_FIELDS} fields"),
    ],
)
def test_a_damaged_form_is_refused_with_a_reason(content: bytes, kind: str, message: str) -> None:
    with pytest.raises(FormError, match=message):
        parse(content, {"content-type": kind}, False)


@given(st.binary(max_size=40), st.integers(0, 2**32))
def test_no_form_raises_anything_else(junk: bytes, seed: int) -> None:
    chance = random.Random(seed)
    content = bytearray(form(field("a"), part('Content-Disposition: form-data; name="b"; filename="c"', junk)))
    for _ in range(chance.randrange(4)):
        place = chance.randrange(len(content))
        content[place : place + chance.randrange(3)] = chance.choice(
            [b"", b"\r", b"\n", b"--x", b"\r\n\r\n", b'"', junk]
        )
    try:
        kind = chance.choice([KIND, 'multipart/form-data; boundary="x"', "multipart/form-data;="])
        call = parse(bytes(content), {"content-type": kind}, False)
    except FormError as error:
        assert 0 < len(str(error)) < 300
    else:
        assert all(isinstance(value, bytes) for value in call.fields.values())


@pytest.mark.parametrize(
    "content",
    [
        form(field("a", b"\r\n--" * 2_400_000)),
        form(field("a", b"\r\n-" * 3_000_000)),
        form(field("a", b"-" * 9_000_000)),
        form(*([field("a")] * 150_000)),
        b"--x\r\n" + b"a:b\r\n" * 1_600_000,
        b"--x\r\n" + b"a" * 9_000_000,
        b"\r\n" * 4_500_000,
    ],
    ids=["near boundaries", "nearer ones", "dashes", "fields", "headers", "one header", "empty lines"],
)
def test_ten_megabytes_take_no_more_than_a_second_or_two(content: bytes) -> None:
    began = time.thread_time()
    with suppress(FormError):
        parse(content, {"content-type": KIND}, False)
    assert time.thread_time() - began < 4
