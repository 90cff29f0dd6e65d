"""The phantom: a procedural stand-in for HAM10000."""

from lesions.phantom.dataset import draw_once

__all__ = ["draw_once"]
