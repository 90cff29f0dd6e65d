"""Runtimes are chosen by name."""

import pytest

from lesions.errors import UserError
from zoo.serving.runtime import RUNTIMES, Runtime, get_runtime


def test_every_runtime_of_the_table_can_be_had() -> None:
    methods = [name for name in vars(Runtime) if not name.startswith("_")]
    assert "start" in methods
    for name in RUNTIMES:
        assert all(callable(getattr(get_runtime(name), method)) for method in methods)
    assert get_runtime() is get_runtime("torchserve")


def test_an_unknown_name_is_an_error_that_names_what_there_is() -> None:
    with pytest.raises(UserError, match=r"^RUNTIME=ray9: there is torchserve"):
        get_runtime("ray9")
