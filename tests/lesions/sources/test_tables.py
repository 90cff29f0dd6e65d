"""Tables: separated by commas or tabs, with or without a byte order mark, rows of any length."""

import pytest

from lesions.index import DataError
from lesions.sources.tables import read_table


@pytest.mark.parametrize("content", [b"A, b\n1 , 2\n\n3\n4,5,6\n", b"\xef\xbb\xbfa\tB\r\n1\t2\r\n\r\n3\r\n4\t5\t6"])
def test_cells_are_read_by_column(content: bytes) -> None:
    rows = list(read_table(content, "here", ("b", "a")))
    assert rows == [(2, {"a": "1", "b": "2"}), (4, {"a": "3", "b": ""}), (5, {"a": "4", "b": "5"})]


def test_a_missing_column_is_named() -> None:
    with pytest.raises(DataError, match="here: no column b, c in its first line"):
        list(read_table(b"a\n", "here", ("a", "b", "c")))


def test_what_is_not_utf_8_is_replaced() -> None:
    assert list(read_table(b"a,b\n\xe9,1\n", "here", ("b",))) == [(2, {"a": "\ufffd", "b": "1"})]
