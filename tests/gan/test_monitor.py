"""Each problem of a training is reported once, after a window of steps."""

import pytest

from gan.monitor import HEAD_START, WINDOW, TrainingMonitor, has_diverged
from gan.quality import Quality
from gan.trainer import StepMetrics

GOOD = StepMetrics(discriminator=1.5, generator=0.1, real=0.5, fake=-0.5, lecam=0, spread=0.3)


def test_a_good_training_gets_no_warning() -> None:
    monitor = TrainingMonitor()
    assert not any(monitor.update(GOOD) for _ in range(3 * WINDOW))


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        ({"discriminator": 0.01}, "D tells every fake apart"),
        ({"spread": 0.01}, "G has collapsed"),
        ({"real": 1001.0}, "the learning rates are too high"),
        ({"fake": -1001.0}, "the learning rates are too high"),
    ],
)
def test_a_warning_comes_once_and_after_a_window(problem: dict[str, float], message: str) -> None:
    monitor = TrainingMonitor()
    first = HEAD_START if "discriminator" in problem else WINDOW - 1
    warnings = [monitor.update(GOOD._replace(**problem)) for _ in range(first + WINDOW)]
    assert [number for number, step in enumerate(warnings) if step] == [first]
    (warning,) = warnings[first]
    assert message in warning


def test_a_single_bad_step_is_no_problem() -> None:
    monitor = TrainingMonitor()
    steps = [GOOD] * WINDOW + [GOOD._replace(discriminator=0, spread=0)] + [GOOD] * WINDOW
    assert not any(monitor.update(step) for step in steps)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_losses_that_are_not_finite_have_diverged(value: float) -> None:
    assert not has_diverged(GOOD)
    assert has_diverged(GOOD._replace(generator=value))


def test_mode_collapse_is_reported_once() -> None:
    good = Quality(
        kid=0.3, kid_by_class={}, frechet=1, precision=0.9, recall=0.4, density=1, coverage=0.7, gan_train=0.4
    )
    monitor = TrainingMonitor()
    assert monitor.check_quality(good) == []
    [warning] = monitor.check_quality(good.model_copy(update={"recall": 0.01}))
    assert "mode collapse" in warning
    assert monitor.check_quality(good.model_copy(update={"recall": 0.0})) == []
