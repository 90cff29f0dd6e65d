"""Tables: of any common delimiter and encoding, rows of any length."""

import pytest

from lesions.index import DataError
from lesions.sources.tables import columns_of, first, read_table


@pytest.mark.parametrize(
    "content",
    [
        b"A, b\n1 , 2\n\n3\n4,5,6\n",
        b"\xef\xbb\xbfa\tB\r\n1\t2\r\n\r\n3\r\n4\t5\t6",
        "A;B\r1;2\r\r3\r4;5;6".encode("utf-16"),
        b"A|B\n1|2\n , \n3\n4|5|6".replace(b" , ", b" | "),
        "a,b\n1,2\n,\n3,\n4,5".encode("utf-16-be"),
    ],
)
def test_cells_are_read_by_column(content: bytes) -> None:
    rows = list(read_table(content, "here"))
    assert rows == [(2, {"a": "1", "b": "2"}), (4, {"a": "3", "b": ""}), (5, {"a": "4", "b": "5"})]


def test_excels_first_line_names_the_delimiter() -> None:
    assert list(read_table(b"sep=;\nA b;c-d\n1,5;2\n", "here")) == [(3, {"a_b": "1,5", "c_d": "2"})]
    assert columns_of(b'"sep=|"\n\nIMAGE|Lesion ID\n') == ["image", "lesion_id"]
    assert list(read_table(b"sep=;", "here")) == []


def test_what_is_neither_utf_8_nor_utf_16_is_replaced() -> None:
    assert list(read_table(b"a,b\n\xe9,1\n", "here")) == [(2, {"a": "\ufffd", "b": "1"})]


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(DataError, match=r"here: no table \(field larger"):
        list(read_table(b"a,b\n" + b"x" * 200_000, "here"))
    assert columns_of(b"x" * 200_000) == []
    assert columns_of(b"") == []


def test_the_first_filled_cell_is_taken() -> None:
    assert first({"image_id": "", "image": "x"}, ("image_id", "image")) == "x"
    assert first({}, ("image_id",)) == ""


def test_a_quote_that_is_left_open_is_an_error() -> None:
    with pytest.raises(DataError, match=r"^here: no table \(a quote is left open\) after line 2$"):
        list(read_table(b'image,dx,note\na,nv,x\nb,nv,"5 mm\nc,mel,y\n', "here"))
    assert next(read_table(b'image,note\na,"5 "" wide,\nlong"\n', "here"))[1]["note"] == '5 " wide,\nlong'
    assert next(read_table(b'"image" ,"note"\na,called "odd" by X\n', "here"))[1] == {
        "image": "a",
        "note": 'called "odd" by X',
    }
    for end in (b"", b"\n", b"\r\n", b"\n\n"):
        assert [cells["image"] for _, cells in read_table(b'image,note\na,"x"' + end, "here")] == ["a"]
