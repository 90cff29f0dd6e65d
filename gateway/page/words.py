"""Answers and scores in plain words."""

from collections.abc import Mapping
from typing import Any

from lesions.labels import CLASSES, DIAGNOSES


def named(label: str) -> str:
    """A class as people and as clients call it: melanoma (mel)."""
    return f"{DIAGNOSES[label]} ({label})"


def percent(share: float) -> str:
    """A share as a whole percentage: 62 %, with a space that does not break."""
    text = f"{share:.0%}"[:-1]
    if text == "0" and share > 0:
        text = "under 1"
    elif text == "100" and share < 1:
        text = "over 99"
    return f"{text}\N{NO-BREAK SPACE}%"


def how_sure(probabilities: Mapping[str, float]) -> str:
    """The most probable class, and the one after it."""
    first, second = sorted(probabilities, key=probabilities.__getitem__, reverse=True)[:2]
    return (
        f"It is {percent(probabilities[first])} sure of {named(first)}; "
        f"next, with {percent(probabilities[second])}, comes {named(second)}."
    )


def how_well(entry: Mapping[str, Any], label: str) -> list[str]:
    """How often a version was right on test images where it answered `label`, and how calibrated it is.

    As far as its `entry.json` says so: one sentence for each.
    """
    test = entry.get("scores", {}).get("test", {})
    sentences = []
    if confusion := test.get("confusion"):  # a row for each true class
        number = CLASSES.index(label)
        called, right = sum(row[number] for row in confusion), confusion[number][number]
        if called:
            sentences.append(f"Of {called} test images that it called {named(label)}, {right or 'none'} were.")
        else:
            sentences.append(f"It called no test image {named(label)}.")
    if "ece" in test:
        points = f"{100 * test['ece']:.0f}"
        sentences.append(
            f"On {test['images']} test images, how sure it was and how often it was right were {points} percentage "
            f"point{'' if points == '1' else 's'} apart, on average (expected calibration error)."
        )
    return sentences
