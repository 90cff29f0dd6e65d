"""Warn early of a training that fails."""

import math
from collections import deque

from gan.trainer import StepMetrics

WINDOW = 100  # the number of last steps whose means are checked


class TrainingMonitor:
    """Checks the means of the last steps; each warning is returned once."""

    def __init__(self) -> None:
        self.recent: deque[StepMetrics] = deque(maxlen=WINDOW)
        self.shown: set[str] = set()

    def update(self, step_metrics: StepMetrics) -> list[str]:
        """Add a step, and return the new warnings."""
        self.recent.append(step_metrics)
        if len(self.recent) < WINDOW:
            return []
        discriminator, _, real, fake, _, spread = (sum(values) / WINDOW for values in zip(*self.recent, strict=True))
        problems = (
            (discriminator < 0.05, "D tells every fake apart (its loss is below 0.05): G has nothing to learn from"),
            (spread < 0.02, "all images of a batch look the same: G has collapsed"),
            (max(abs(real), abs(fake)) > 1000, "D's scores are beyond 1,000: the learning rates are too high"),
        )
        warnings = [warning for present, warning in problems if present and warning not in self.shown]
        self.shown.update(warnings)
        return warnings


def has_diverged(step_metrics: StepMetrics) -> bool:
    """Whether a loss is infinite or not a number: then no later step can be finite."""
    return not all(map(math.isfinite, step_metrics))
