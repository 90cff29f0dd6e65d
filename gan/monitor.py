"""Watches for a training that fails, so that a person hears of it early."""

import math
from collections import deque

from gan.trainer import StepMetrics

WINDOW = 100
"""Steps that are judged together."""


class TrainingMonitor:
    """Gives each warning once."""

    def __init__(self) -> None:
        self.recent: deque[StepMetrics] = deque(maxlen=WINDOW)
        self.said: set[str] = set()

    def look(self, step: StepMetrics) -> list[str]:
        """What is newly wrong, in words."""
        self.recent.append(step)
        if len(self.recent) < WINDOW:
            return []
        discriminator, _, real, fake, _, spread = (sum(values) / WINDOW for values in zip(*self.recent, strict=True))
        problems = (
            (discriminator < 0.05, "D tells every fake apart (its loss is below 0.05): G has nothing to learn from"),
            (spread < 0.02, "all images of a batch look the same: G has collapsed"),
            (max(abs(real), abs(fake)) > 1000, "D's scores are beyond 1,000: the learning rates are too high"),
        )
        new = [words for present, words in problems if present and words not in self.said]
        self.said.update(new)
        return new


def has_diverged(step: StepMetrics) -> bool:
    """Whether D's or G's loss is no number any more: nothing that follows could be one."""
    return not all(map(math.isfinite, step))
