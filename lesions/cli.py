"""Command lines whose errors are one line, not a traceback."""

from typing import Any

import typer
from typer.core import TyperGroup

from lesions.errors import UserError, exit_on_user_error


class _Group(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        with exit_on_user_error():
            try:
                return super().invoke(ctx)
            except ModuleNotFoundError as error:
                raise UserError(
                    f"{error.name} is not installed here: this needs a whole checkout, as make has it"
                ) from error


def command_group(help: str | None) -> typer.Typer:
    """A `typer.Typer` whose commands print one line and exit with code 2 on a `UserError` or `OSError`.

    So they do where a package is missing, as on a machine that only serves.
    """
    return typer.Typer(cls=_Group, add_completion=False, pretty_exceptions_enable=False, help=help)
