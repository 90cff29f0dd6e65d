"""The figures of an experiment's page, each as a data URL of SVG."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib as mpl
import numpy as np

from compare import figures as compared
from compare.plots import INK, PALE, SOFT, interval_dot, styled, subplots, svg_url, value_grid
from gateway.experiments.experiment import Experiment
from gateway.verdict.answers import Answers
from gateway.verdict.estimates import Estimate, difference
from gateway.verdict.metrics import in_words
from gateway.verdict.sequences import ALPHA
from gateway.verdict.sides import Arm
from gateway.verdict.verdict import Comparison, clients, sides
from lesions.labels import CLASSES
from zoo.metrics.scores import Predictions

LOOKS = 60
"""Points of the curve of one comparison."""


class Look(NamedTuple):
    """A difference after some answers with feedback."""

    labeled: int
    estimate: Estimate


def looks(experiment: Experiment, answers: Answers, comparison: Comparison, alpha: float) -> list[Look]:
    """One comparison as it looked after each of some numbers of labels, in the order in which these came."""
    ours, theirs = sides(experiment, answers, comparison.arm)
    if comparison.paired:
        both = ours.labeled & theirs.labeled
        ours, theirs = ours.take(both), theirs.take(both)
    ours, theirs = ours.take(ours.labeled), theirs.take(theirs.labeled)
    times = np.sort(ours.known if comparison.paired else np.concatenate([ours.known, theirs.known]))
    points = []
    paired = comparison.paired
    for number in np.unique(np.linspace(1, len(times), min(LOOKS, len(times)), dtype=int)):
        mine, other = (side.take(side.known <= times[number - 1]) for side in (ours, theirs))
        estimate = difference(*clients(experiment, mine, other, paired), experiment.metric, alpha)
        if estimate:
            points.append(Look(int(number), estimate))
    return points


@styled()
def sequences(experiment: Experiment, answers: Answers, comparisons: Sequence[Comparison]) -> str | None:
    """Each comparison's difference and its confidence sequence, by answers with feedback; none without any point."""
    alpha = ALPHA / max(1, len(comparisons))
    curves = {one.arm: looks(experiment, answers, one, alpha) for one in comparisons}
    curves = {arm: points for arm, points in curves.items() if points}
    if not curves:
        return None
    figure, [axes] = subplots(6.4, 3.2)
    for (arm, points), color in zip(curves.items(), mpl.color_sequences["tab10"], strict=False):
        numbers = [point.labeled for point in points]
        low, high = np.array([point.estimate.interval for point in points]).T
        axes.fill_between(numbers, low, high, color=color, alpha=0.15, linewidth=0)
        axes.plot(numbers, [point.estimate.value for point in points], color=color, label=arm)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.axhline(-experiment.smallest_difference, color=SOFT, linewidth=0.8, linestyle=":")
    largest = max(abs(bound) for points in curves.values() for bound in points[-1].estimate.interval)
    axes.set(
        xlabel="answers with feedback",
        ylabel=f"{in_words(experiment.metric)} less that of {experiment.reference}",
        ylim=(-2.5 * largest, 2.5 * largest),
    )
    axes.legend(loc="upper right")
    return svg_url(figure)


@styled()
def metrics(arms: Sequence[Arm]) -> str | None:
    """A dot and its interval for each arm, by metric; none where no arm has any."""
    names = [name for name in arms[0].metrics if any(arm.metrics[name] for arm in arms)]
    if not names:
        return None
    figure, panels = subplots(2.6 * len(names) + 1.4, 0.9 + 0.32 * len(arms), len(names))
    for axes, name in zip(panels, names, strict=True):
        for row, arm in enumerate(arms):
            if estimate := arm.metrics[name]:
                interval_dot(axes, row, estimate.value, estimate.interval, SOFT if arm.shadow else INK)
        axes.set(xlabel=in_words(name), ylim=(len(arms) - 0.5, -0.5))
        axes.set_yticks(range(len(arms)), [arm.name for arm in arms])
        value_grid(axes)
    return svg_url(figure)


@styled()
def latencies(answers: Mapping[str, Answers]) -> str | None:
    """The share of each version's answers (by name) that took no longer than so many milliseconds."""
    figure, [axes] = subplots(4.2, 2.8)
    drawn = {name: np.sort(one.latencies[one.answered]) for name, one in answers.items() if one.answered.any()}
    for (name, times), color in zip(drawn.items(), mpl.color_sequences["tab10"], strict=False):
        axes.plot(times, np.arange(1, len(times) + 1) / len(times), color=color, label=name)
    if not drawn:
        return None
    axes.set(xlabel="milliseconds of an answer", ylabel="share of answers", xlim=(0, None), ylim=(0, 1.02))
    axes.grid(color=PALE, alpha=0.4)
    axes.legend(loc="lower right")
    return svg_url(figure)


@styled()
def labels(arms: Sequence[Arm]) -> str:
    """The share of each class among each arm's predictions."""
    table = np.array([[arm.labels.get(name, 0.0) for name in CLASSES] for arm in arms])
    figure, [axes] = subplots(6.4, 0.8 + 0.32 * len(arms))
    axes.imshow(table, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    for (row, column), value in np.ndenumerate(table):
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color="white" if value > 0.6 else INK)
    axes.set_xticks(range(len(CLASSES)), CLASSES)
    axes.set_yticks(range(len(arms)), [arm.name for arm in arms])
    return svg_url(figure)


def reliability(answers: Answers) -> str | None:
    """The share of right predictions by predicted probability, of answers with feedback; none without any."""
    labeled = answers.take(answers.labeled)
    if not len(labeled):
        return None
    return compared.reliability(Predictions(labeled.truth, labeled.probabilities, labeled.clients.tolist()))
