"""What the commands print and read: names as they are, and numbers in one line."""

import pytest
from rich.table import Table

from lesions.errors import UserError
from zoo.terminal import console, whole_number


def test_a_name_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    name = "[red]a[/red] [/] :heart:"
    table = Table("name", title=name)
    table.add_row(name)
    console(80).print(table)
    assert capsys.readouterr().out.count(name) == 2


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("1000", 1000), (7, 7)])
def test_a_number_is_read(text: str | int, number: int) -> None:
    assert whole_number("X", 1, 1000)(text) == number


@pytest.mark.parametrize("text", ["", "0", "1001", "-1", "1.5", "1e2", "10MB", "ten", "9" * 5000, "1_0", "\u0661"])
def test_any_other_is_an_error_of_one_line(text: str) -> None:
    with pytest.raises(UserError, match=r"^X=[^\n]{0,60}: it is a whole number from 1 to 1,000$"):
        whole_number("X", 1, 1000)(text)
