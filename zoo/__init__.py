"""The catalog: entries, studies, networks, scores and archives. From Python: `from zoo import load`."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.library import load, load_predictions

__all__ = ["load", "load_predictions"]


def __getattr__(name: str) -> Any:
    """Import the library when it is first used: archives carry this file without it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from zoo import library

    return getattr(library, name)
