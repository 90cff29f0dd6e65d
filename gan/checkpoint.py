"""The checkpoint of a generator's training."""

import io
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from lesions.files import atomic_write


def save(file: Path, state: Mapping[str, Any]) -> None:
    """Write the `state` of a training, atomically."""
    content = io.BytesIO()
    torch.save(dict(state), content)
    atomic_write(file, content.getvalue())


def load(file: Path, new: Mapping[str, Any]) -> dict[str, Any] | None:
    """The state in `file`; none, and `file` is deleted, where it cannot be continued.

    That is a file that is damaged or has pickles, or is of another recipe or version: `new`, the state of a training
    that begins, has another digest or other keys.
    """
    try:
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        same_recipe = state["recipe_sha256"] == new["recipe_sha256"]
        if same_recipe and state.keys() == new.keys() and state["trainer"].keys() == new["trainer"].keys():
            return state
    except (OSError, RuntimeError, LookupError, TypeError, ValueError, AttributeError, EOFError, UnpicklingError):
        pass
    file.unlink(missing_ok=True)
    return None
