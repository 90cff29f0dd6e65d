"""Images that cannot be used, and their summary by reason."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SHOWN = 3
"""How many names a message has."""


@dataclass(frozen=True)
class LeftOut:
    """An image that cannot be used."""

    image: str
    reason: str


def by_reason(left_out: Iterable[LeftOut]) -> list[str]:
    """A line for each reason, in the order in which they came: the reason, how many images, some names.

    What a reason has in brackets may differ from image to image, and is left away then.
    """
    groups: dict[str, list[LeftOut]] = defaultdict(list)
    for image in left_out:
        groups[image.reason.partition(" (")[0]].append(image)
    lines = []
    for short, images in groups.items():
        reasons = {image.reason for image in images}
        reason = reasons.pop() if len(reasons) == 1 else short
        lines.append(f"{reason}: {counted(len(images), 'image')} ({some_names([image.image for image in images])})")
    return lines


def counted(number: int, noun: str) -> str:
    """`1 image`, `1,502 images`"""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def some_names(images: Sequence[str]) -> str:
    """`a, b, c, ...`"""
    return ", ".join(images[:SHOWN]) + (", ..." if len(images) > SHOWN else "")
