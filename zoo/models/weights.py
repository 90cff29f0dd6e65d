"""Files of weights (safetensors), read without their tensors and without torch."""

import json
import os
from pathlib import Path
from typing import Any

from lesions.errors import UserError


class WeightsError(UserError):
    """A weights file that cannot be read, or that is of another network or entry."""


def origin_of(weights: Path) -> dict[str, str]:
    """What the weights were made of, by their metadata; empty if they do not say, or the file is damaged."""
    try:
        return dict(json.loads(_header(weights)["__metadata__"]["origin"]))
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def is_intact(weights: Path) -> bool:
    """Whether the file exists, and is as long as its header says."""
    try:
        return bool(_header(weights))
    except (OSError, ValueError):
        return False


def _header(weights: Path) -> dict[str, Any]:
    """The header: a length, then JSON with the place of each tensor. Raises `ValueError` where the file is damaged."""
    with weights.open("rb") as file:
        size, length = os.fstat(file.fileno()).st_size, int.from_bytes(file.read(8), "little")
        if length > size - 8:
            raise ValueError("cut short")
        content = file.read(length)
    try:
        header = json.loads(content)
        end = 8 + length + max(place["data_offsets"][1] for name, place in header.items() if name != "__metadata__")
    except (AttributeError, LookupError, TypeError, RecursionError):
        raise ValueError("no header of safetensors") from None
    if size != end:
        raise ValueError("cut short")
    return dict(header)
