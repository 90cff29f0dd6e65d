"""`python -m benchmarks.looks`: how often, and how soon, an experiment that is looked at after every answer says so.

Three published bounds, and two ways that are wrong, on the same made-up experiments: 2,000 of each kind. Writes the
figure of docs/live.md.
"""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from compare.plots import INK, SOFT, content, styled, subplots
from gateway.verdict.sequences import ALPHA
from lesions.files import atomic_write
from tests.gateway.verdict.changing import mistaken
from tests.gateway.verdict.simulation import Counts, Shown, by_client, fixed_size
from zoo.study import ROOT

EXPERIMENTS, ANSWERS = 2000, 10_000
SAME, DIFFERENT = (0.7, 0.7), (0.7, 0.8)
CHANGES, LATER, CHANGED = ((0.1, 0.5), (0.5, 0.1), (0.02, 0.3)), (0.5, 0.8, 0.98), 400
"""The candidate's shares before and after a change; the accuracy of both arms after it, 0.8 before; experiments."""
FIGURE = ROOT / "docs" / "assets" / "looks.png"
OURS = "asymptotic confidence sequence (here)"
BLOCKS = "safe test of two shares"
BERNSTEIN = "empirical Bernstein, by shares"
PEEKING = "a test of a fixed size, looked at each time"
INDEPENDENT = "clients' answers taken for independent"


def main() -> None:
    """Print shares and answers of each kind, and write the figure."""
    null, shown = _all(SAME), _all(DIFFERENT)
    fixed = fixed_size(DIFFERENT)
    print(f"{EXPERIMENTS} experiments, {ANSWERS} answers, a look after each; shares 0.5 and 0.5 unless named")
    print('difference 0: share that ever says "shown better"; difference 0.1: answers until then, median and mean')
    for name, one in null.items():
        print(f"{name}: {one.share:.4f}; {np.median(shown[name].better):.0f} and {shown[name].better.mean():.0f}")
    print(f"a test of a fixed size needs {fixed} (80 %) or {fixed_size(DIFFERENT, 0.9)} (90 %); twice: {2 * fixed}")
    for share in (0.1, 0.9):
        uneven = by_client(1, SAME, ANSWERS, share=share)
        late = by_client(2, DIFFERENT, ANSWERS, share=share)
        print(f"{OURS}, share {share}: {uneven.share:.4f}; {np.median(late.better):.0f} and {late.better.mean():.0f}")
    for clients in (60, 300, 1500):
        few = by_client(1, SAME, ANSWERS, clients=clients, concentration=2)
        print(f"{OURS}, {clients} clients: {few.share:.4f}")
    for shares in CHANGES:
        for later in LATER:
            shown_of = mistaken(shares, later, CHANGED, range(300, 6001, 300))
            print(f"{OURS}, shares {shares}, 0.8 then {later}, 20 looks: {shown_of}")
    null[INDEPENDENT] = by_client(1, SAME, ANSWERS, clients=300, concentration=2, as_clients=False)
    print(f"{INDEPENDENT}, 300 clients: {null[INDEPENDENT].share:.4f}")
    _draw(null, shown, fixed)


def _all(accuracies: tuple[float, float]) -> dict[str, Shown]:
    """When each kind first shows the candidate to be better."""
    return {
        OURS: by_client(1, accuracies, ANSWERS),
        BLOCKS: _safe_test(1, accuracies),
        BERNSTEIN: _bernstein(1, accuracies),
        PEEKING: by_client(1, accuracies, ANSWERS, bound=_fixed),
    }


def _fixed(variance: Counts, clients: Counts) -> Counts:
    """The interval of a test that is looked at once."""
    return np.asarray(1.96 * np.sqrt(variance))


def _safe_test(seed: int, accuracies: tuple[float, float]) -> Shown:
    """Turner, Ly & Grünwald (2024): blocks of one answer of each arm, with plug-in estimates of both shares."""
    random, rights = np.random.default_rng(seed), np.full((2, EXPERIMENTS), 0.5)
    evidence, better = np.zeros(EXPERIMENTS), np.full(EXPERIMENTS, ANSWERS + 1)
    for block in range(1, ANSWERS // 2 + 1):
        right = random.random((2, EXPERIMENTS)) < np.array(accuracies)[:, None]
        guessed = rights / block
        likely = np.where(right, guessed, 1 - guessed)
        middle = guessed.mean(0)
        evidence += np.log(likely).sum(0) - np.log(np.where(right, middle, 1 - middle)).sum(0)
        rights += right
        better[(evidence >= -np.log(ALPHA)) & (rights[1] > rights[0]) & (better > ANSWERS)] = 2 * block
    return Shown(better, np.full(EXPERIMENTS, ANSWERS + 1), ANSWERS)


def _bernstein(seed: int, accuracies: tuple[float, float]) -> Shown:
    """Waudby-Smith & Ramdas (2024), theorem 2, of answers weighted by their arm's share, so that they may be mixed."""
    random = np.random.default_rng(seed)
    low, high = -2.0, 2.0
    sums = {name: np.zeros(EXPERIMENTS) for name in ("weights", "weighted", "penalty", "values", "squares")}
    better, zero = np.full(EXPERIMENTS, ANSWERS + 1), -low / (high - low)
    mean, variance = np.full(EXPERIMENTS, 0.5), np.full(EXPERIMENTS, 0.25)
    for t in range(1, ANSWERS + 1):
        arms = (random.random(EXPERIMENTS) < 0.5).astype(int)
        right = random.random(EXPERIMENTS) < np.array(accuracies)[arms]
        value = (np.where(arms == 1, 2, -2) * right - low) / (high - low)
        weight = np.minimum(np.sqrt(2 * np.log(2 / ALPHA) / (variance * t * np.log(1 + t))), 0.5)
        sums["weights"] += weight
        sums["weighted"] += weight * value
        sums["penalty"] += (value - mean) ** 2 * (-np.log(1 - weight) - weight)
        bound = (sums["weighted"] - sums["penalty"] - np.log(2 / ALPHA)) / sums["weights"]
        better[(bound > zero) & (better > ANSWERS)] = t
        sums["values"] += value
        mean = (0.5 + sums["values"]) / (t + 1)
        sums["squares"] += (value - mean) ** 2
        variance = (0.25 + sums["squares"]) / (t + 1)
    return Shown(better, np.full(EXPERIMENTS, ANSWERS + 1), ANSWERS)


@styled()
def _draw(null: dict[str, Shown], shown: dict[str, Shown], fixed: int) -> None:
    figure, (left, right) = subplots(9.6, 3.6, 2)
    colors = dict(zip(null, mpl.color_sequences["tab10"], strict=False))
    for axes, kinds in ((left, null), (right, shown)):
        for name, one in kinds.items():
            axes.plot(*_curve(one.better), color=colors[name], linewidth=2 if name == OURS else 1.2, label=name)
        axes.set(
            xscale="log", xlabel="answers with feedback, a look after each", xlim=(40, ANSWERS), ylim=(-0.02, 1.02)
        )
    left.axhline(ALPHA, color=INK, linewidth=0.8, linestyle=":")
    left.text(ANSWERS, ALPHA, "5 % ", fontsize=8, va="bottom", ha="right")
    left.set(title="no difference", ylabel='share with "shown better" so far')
    left.legend(loc="upper left")
    for size, words in ((fixed, "a test of a fixed size"), (2 * fixed, "twice that")):
        right.axvline(size, color=SOFT, linewidth=0.8, linestyle=":")
        right.text(size, 0.02, f" {words}", rotation=90, fontsize=8, color=SOFT, va="bottom")
    right.set(title="0.8 against 0.7")
    atomic_write(FIGURE, content(figure, format="png", dpi=150, metadata={"Software": None}))
    print(FIGURE.relative_to(Path.cwd()) if FIGURE.is_relative_to(Path.cwd()) else FIGURE)


def _curve(better: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The share of experiments that have shown it by each number of answers."""
    answers = np.arange(1, ANSWERS + 1)
    return answers, np.searchsorted(np.sort(better), answers, "right") / len(better)


if __name__ == "__main__":
    main()
