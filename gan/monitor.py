"""Warn early of a training that fails."""

import math
from collections import deque

from gan.quality import Quality
from gan.trainer import StepMetrics

WINDOW = 100  # the number of last steps whose means are checked
HEAD_START = 400  # steps in which a critic that begins with pretrained features is allowed to be ahead
LEAST_RECALL = 0.02  # below it, synthetic images are so alike that next to no real image is among them


class TrainingMonitor:
    """Checks the means of the last steps, and the quality; each warning is returned once."""

    def __init__(self) -> None:
        self.steps = 0
        self.recent: deque[StepMetrics] = deque(maxlen=WINDOW)
        self.shown: set[str] = set()

    def update(self, step_metrics: StepMetrics) -> list[str]:
        """Add a step, and return the new warnings."""
        self.steps += 1
        self.recent.append(step_metrics)
        if len(self.recent) < WINDOW:
            return []
        discriminator, _, real, fake, _, spread = (sum(values) / WINDOW for values in zip(*self.recent, strict=True))
        problems = (
            (
                self.steps > HEAD_START and discriminator < 0.05,
                "D tells every fake apart (its loss is below 0.05): G has nothing to learn from",
            ),
            (spread < 0.02, "all images of a batch look the same: G has collapsed"),
            (max(abs(real), abs(fake)) > 1000, "D's scores are beyond 1,000: the learning rates are too high"),
        )
        return self._once([warning for present, warning in problems if present])

    def check_quality(self, quality: Quality) -> list[str]:
        """Return the new warnings of a measurement."""
        if quality.recall >= LEAST_RECALL:
            return []
        problem = f"recall is below {LEAST_RECALL}: images are much alike (mode collapse), or unlike any real one"
        return self._once([problem])

    def _once(self, warnings: list[str]) -> list[str]:
        """Those of `warnings` that were not returned before."""
        new = [warning for warning in warnings if warning not in self.shown]
        self.shown.update(new)
        return new


def has_diverged(step_metrics: StepMetrics) -> bool:
    """Whether a loss is infinite or not a number: then no later step can be finite."""
    return not all(map(math.isfinite, step_metrics))
