"""The phantom: a procedural stand-in for HAM10000."""

from lesions.phantom.dataset import draw

__all__ = ["draw"]
