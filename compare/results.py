"""What the answers are worth: every version's scores, and the paired differences that the report asks about."""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel
from tqdm import tqdm

from compare.answers import Answers
from compare.labeled import LabeledImages
from compare.offline import Agreement, agreement
from compare.published import Published, beside, published
from lesions.files import atomic_write
from zoo.metrics import bootstrap, scores
from zoo.metrics.calibration import without_temperature
from zoo.metrics.scores import Reliability
from zoo.study import Folders

AGAINST = ("baseline", "transfer")
"""Each version is compared with these, and with the champion."""


class Result(BaseModel):
    """One version."""

    entry: str
    about: str
    thesis_macro_f1: float | None
    """On the thesis's own test split, which shares lesions with its training: for orientation."""
    thesis_accuracy: float | None
    valid_macro_f1: float | None
    """On the study's validation split, as training found it."""
    scores: scores.Scores
    latency_p50_ms: float
    latency_p99_ms: float
    """As the client saw them, with many requests under way at once, further tries included."""
    offline: Agreement | None
    published: Published | None = None
    """Beside the committed record, where there is one."""
    weights_sha256: str
    temperature: float | None = None
    """By which the version divides its logits; none where it is not calibrated."""
    uncalibrated: Reliability | None = None
    """What its probabilities would be worth without: computed from the answers, the temperature undone."""
    prior_corrected: Reliability | None = None
    """What a prior correction, which is not applied, would be worth on the study's test split, by training's record."""


class Compared(BaseModel):
    """One version's macro F1 less that of the one which the question is about."""

    entry: str
    difference: float
    interval: tuple[float, float]
    p: float
    p_holm: float
    """Corrected for all versions in the same question."""


class Question(BaseModel):
    """Is any version better, or worse, than `against`?"""

    against: str
    is_champion: bool
    compared: list[Compared]


class Results(BaseModel):
    """All that the report says in figures."""

    study: str
    images_from: str
    images: int
    lesions: int
    left_out: list[str]
    made: str
    """When (ISO 8601, UTC)."""
    champion: str | None
    results: list[Result]
    """The highest macro F1 first."""
    questions: list[Question]

    @property
    def disagreeing(self) -> list[Result]:
        """Versions that say something else than training did."""
        return [result for result in self.results if result.offline is not None and not result.offline.holds]

    @property
    def beside_records(self) -> list[str]:
        """What versions are beside the committed records, for people; nothing where none is recorded."""
        return beside([(result.scores.macro_f1, result.published) for result in self.results])

    @property
    def unlike_published(self) -> list[Result]:
        """Versions that say what they said in training, and something else than the record of the same weights."""
        unlike = [result for result in self.results if result.published is not None and result.published.contradicts]
        return [result for result in unlike if result not in self.disagreeing]


def compute(
    folders: Folders, labeled: LabeledImages, answers: Mapping[str, Answers], champion: str | None = None
) -> Results:
    """Score `answers`, by version. Raises `KeyError` where one lacks an image of `labeled`."""
    bar = tqdm(answers.items(), "scoring", unit="version", disable=None)
    resamples = bootstrap.Resamples(labeled.index.labels, labeled.index.lesions)  # drawing takes as long as scoring
    results = [_result(folders, labeled, name, given, resamples) for name, given in bar]
    return Results(
        study=folders.name,
        images_from=labeled.name,
        images=len(labeled.index),
        lesions=len(set(labeled.index.lesions)),
        left_out=list(labeled.left_out),
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        champion=champion,
        results=sorted(results, key=lambda result: (-result.scores.macro_f1, result.entry)),
        questions=questions(labeled, answers, champion),
    )


def questions(labeled: LabeledImages, answers: Mapping[str, Answers], champion: str | None) -> list[Question]:
    """The paired differences of all versions against each of `AGAINST` and the champion, as far as they are there."""
    rivals = [name for name in dict.fromkeys((*AGAINST, champion)) if name is not None and name in answers]
    if not rivals or len(answers) < 2:
        return []
    resamples = bootstrap.Resamples(labeled.index.labels, labeled.index.lesions, 0, bootstrap.PAIRED_RESAMPLES)
    estimates = {
        name: bootstrap.estimate(resamples, given.predictions(labeled.index).probabilities.argmax(1))
        for name, given in answers.items()
    }
    return [_question(estimates, rival, rival == champion) for rival in rivals]


def _question(estimates: Mapping[str, bootstrap.Estimate], against: str, is_champion: bool) -> Question:
    found = {
        name: bootstrap.paired_difference(estimate, estimates[against])
        for name, estimate in estimates.items()
        if name != against
    }
    corrected = bootstrap.holm([one.p for one in found.values()])
    compared = [
        Compared(entry=name, difference=one.difference, interval=one.interval, p=one.p, p_holm=p_holm)
        for (name, one), p_holm in zip(found.items(), corrected, strict=True)
    ]
    return Question(
        against=against, is_champion=is_champion, compared=sorted(compared, key=lambda one: -one.difference)
    )


def pair(labeled: LabeledImages, first: Answers, second: Answers) -> bootstrap.Difference:
    """The macro F1 of `first` less that of `second`, on the same images: one question of its own."""
    resamples = bootstrap.Resamples(labeled.index.labels, labeled.index.lesions, 0, bootstrap.PAIRED_RESAMPLES)
    mine, other = (
        bootstrap.estimate(resamples, given.predictions(labeled.index).probabilities.argmax(1))
        for given in (first, second)
    )
    return bootstrap.paired_difference(mine, other)


def _result(
    folders: Folders, labeled: LabeledImages, name: str, answers: Answers, resamples: bootstrap.Resamples
) -> Result:
    described, took = answers.described, answers.milliseconds(labeled.index)
    thesis: Mapping[str, Any] = described.get("thesis") or {}
    is_own = labeled.split_sha256 is not None
    predictions = answers.predictions(labeled.index)
    calibration: Mapping[str, Any] = described.get("calibration") or {}
    temperature, corrected = calibration.get("temperature"), calibration.get("prior_corrected") if is_own else None
    before = (
        None if temperature is None else without_temperature(predictions.probabilities.astype(np.float64), temperature)
    )
    return Result(
        entry=name,
        about=described["about"],
        thesis_macro_f1=thesis.get("macro_f1"),
        thesis_accuracy=thesis.get("accuracy"),
        valid_macro_f1=described["scores"].get("valid", {}).get("macro_f1"),
        scores=scores.score(predictions, resamples),
        latency_p50_ms=round(float(np.quantile(took, 0.5)), 1),
        latency_p99_ms=round(float(np.quantile(took, 0.99)), 1),
        offline=agreement(folders.run(name) / "predictions.csv", answers, labeled.index) if is_own else None,
        published=published(folders.root, folders.name, name, answers, labeled.index) if is_own else None,
        weights_sha256=described["weights_sha256"],
        temperature=temperature,
        uncalibrated=None if before is None else scores.reliability(predictions.labels, before),
        prior_corrected=None if corrected is None else Reliability.model_validate(corrected["test"]),
    )


def save(results: Results, folder: Path) -> None:
    """Write `results.json` and `results.csv` into `folder`."""
    atomic_write(folder / "results.json", results.model_dump_json(indent=1) + "\n")
    content = io.StringIO(newline="")
    writer = csv.writer(content)
    rows = [_row(result) for result in results.results]
    writer.writerow(rows[0])
    writer.writerows(row.values() for row in rows)
    atomic_write(folder / "results.csv", content.getvalue())


def _row(result: Result) -> dict[str, object]:
    """One line of the CSV; an interval is two columns, and so on for each class."""
    said = result.scores
    row: dict[str, object] = {"entry": result.entry} | _with_interval("macro_f1", said)
    row |= {"thesis_macro_f1": result.thesis_macro_f1, "valid_macro_f1": result.valid_macro_f1}
    for name in ("balanced_accuracy", "accuracy", "macro_auc", "melanoma_sensitivity", "ece", "brier", "nll"):
        row |= _with_interval(name, said)
    row["temperature"] = result.temperature
    for name, judged in (("uncalibrated", result.uncalibrated), ("prior_corrected", result.prior_corrected)):
        row |= {f"{name}_{key}": judged and getattr(judged, key) for key in Reliability.model_fields}
    row |= {"latency_p50_ms": result.latency_p50_ms, "latency_p99_ms": result.latency_p99_ms}
    row["offline_largest_difference"] = result.offline and result.offline.largest
    for name, one in said.classes.items():
        found: dict[str, object] = {"precision": one.precision, "recall": one.recall}
        for key in ("f1", "auc", "ece"):
            found |= _with_interval(key, one)
        row |= {f"{name}_{key}": value for key, value in found.items()} | {f"{name}_support": one.support}
    return row


def _with_interval(name: str, said: BaseModel) -> dict[str, object]:
    """One of the scores that `said` has an interval of, and this one's ends."""
    low, high = getattr(said, f"{name}_interval") or (None, None)
    return {name: getattr(said, name), f"{name}_low": low, f"{name}_high": high}


def load(folder: Path) -> Results | None:
    """The results that `save` wrote, if there are any."""
    try:
        return Results.model_validate_json((folder / "results.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def wrong(labeled: LabeledImages, answers: Sequence[Answers], most: int) -> list[tuple[int, int]]:
    """Images, by number, that more than half of `answers` get wrong, and how many do: the `most` worst at most.

    Among equals, those come first whose true class is given the least probability.
    """
    told = np.stack([given.predictions(labeled.index).probabilities for given in answers])  # [versions, n, 7]
    mistakes = (told.argmax(2) != labeled.index.labels).sum(0)
    chance = told[:, np.arange(len(labeled.index)), labeled.index.labels].mean(0)
    order = np.lexsort((chance, -mistakes))[:most]
    return [(int(row), int(mistakes[row])) for row in order if mistakes[row] * 2 > len(answers)]
