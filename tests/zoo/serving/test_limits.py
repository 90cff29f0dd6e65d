"""The size of a request and the life of a token: what may be given, and the defaults in config.properties."""

from pathlib import Path

import pytest

from lesions.errors import UserError
from zoo.serving import limits
from zoo.serving.limits import Limits, how_to_raise


def test_the_defaults_are_those_of_config_properties(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits.limits() == Limits(10_000_000, 60)
    edited = tmp_path / "config.properties"
    monkeypatch.setattr(limits, "FILE", edited)
    edited.write_text("# max_request_size=1\nmax_request_size = 5\nmax_request_size=7 \ntoken_expiration_min=3\n")
    assert limits.limits() == Limits(7, 3)
    assert limits.limits(20) == Limits(20_000_000, 3)
    assert limits.limits(20, 9) == Limits(20_000_000, 9)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("token_expiration_min=60\n", "has no max_request_size; "),
        ("max_request_size=ten\n", "max_request_size=ten: it is a whole number from 1 to 1,000,000,000"),
        ("max_request_size=\ntoken_expiration_min=60\n", "max_request_size=: it is a whole number from 1"),
        (
            "max_request_size=1\ntoken_expiration_min=0\n",
            "token_expiration_min=0: it is a whole number from 1 to 10,080",
        ),
    ],
)
def test_a_default_that_is_no_number_is_an_error_that_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, message: str
) -> None:
    monkeypatch.setattr(limits, "FILE", tmp_path / "config.properties")
    limits.FILE.write_text(content)
    with pytest.raises(UserError, match=rf"config\.properties.*{message}"):
        limits.limits()


@pytest.mark.parametrize(("size", "token"), [(0, 1), (1001, 1), (1, 0), (1, 10_081)])
def test_only_a_sensible_number_can_be_given(size: int, token: int) -> None:
    with pytest.raises(UserError, match="it is a whole number from 1 to"):
        limits.limits(size, token)


@pytest.mark.parametrize(("size", "megabytes"), [(1, 20), (20_000_000, 20), (20_000_001, 30), (999_999_999, 1000)])
def test_a_large_enough_limit_is_named(size: int, megabytes: int) -> None:
    assert how_to_raise(size) == f"raise the limit: make serve MAX_REQUEST_MB={megabytes}"


def test_no_limit_is_named_that_cannot_be_given() -> None:
    assert how_to_raise(1_000_000_001) == "more than 1000 MB cannot be sent"
