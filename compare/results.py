"""The scores of every version, from its answers, and the paired differences between versions."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from pydantic import BaseModel
from tqdm import tqdm

from compare.answers import Answers
from compare.labeled import LabeledImages
from compare.references import Agreement, Published, compare_offline, compare_record, record_messages
from lesions.files import atomic_write
from lesions.sources.left_out import LeftOut, by_reason, counted
from zoo.metrics import bootstrap, challenge, malignancy, scores
from zoo.metrics.calibration import without_temperature
from zoo.metrics.challenge import ChallengeScore
from zoo.metrics.malignancy import MalignancyScore
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
    """On the study's validation split, as training measured it."""
    scores: scores.Scores
    latency_p50_ms: float
    latency_p99_ms: float
    """As the client saw them, with many requests under way at once, further tries included."""
    offline: Agreement | None
    published: Published | None = None
    """Beside the committed record, where there is one."""
    weights_sha256: str
    temperature: float | None = None
    """The version divides its logits by it; none where it is not calibrated."""
    challenge: dict[str, ChallengeScore] = {}
    """By class; empty in results of an earlier version."""
    malignancy: MalignancyScore | None = None
    """Thresholds are those that training chose on validation."""
    uncalibrated: Reliability | None = None
    """The scores of its probabilities without temperature scaling, computed from the answers."""
    prior_corrected: Reliability | None = None
    """Training's scores of a prior correction, which is not applied, on the study's test split."""


class Compared(BaseModel):
    """One version's macro F1 less that of the version which it is compared with."""

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
    """All figures of the report."""

    study: str
    images_from: str
    images: int
    lesions: int
    left_out: list[LeftOut]
    made: str
    """When (ISO 8601, UTC)."""
    champion: str | None
    results: list[Result]
    """The highest macro F1 first."""
    questions: list[Question]

    @property
    def test_images(self) -> str:
        """How many they are, of how many lesions; for people."""
        return f"{counted(self.images, 'image')} of {counted(self.lesions, 'lesion')}"

    @property
    def left_out_lines(self) -> list[str]:
        """Lines for people on the images that were left out, by reason."""
        return by_reason(self.left_out)

    @property
    def disagreeing(self) -> list[Result]:
        """Versions that answer otherwise than in training."""
        return [result for result in self.results if result.offline is not None and not result.offline.holds]

    @property
    def beside_records(self) -> list[str]:
        """Lines for people on how versions compare with the committed records; nothing where none is recorded."""
        return record_messages((result.scores.macro_f1, result.published) for result in self.results)

    @property
    def unlike_published(self) -> list[Result]:
        """Versions that answer as in training, and otherwise than the record of the same weights."""
        unlike = [result for result in self.results if result.published is not None and result.published.contradicts]
        return [result for result in unlike if result not in self.disagreeing]


def compute(
    folders: Folders, labeled: LabeledImages, answers: Mapping[str, Answers], champion: str | None = None
) -> Results:
    """Score `answers`, by version. Raises `KeyError` where one lacks an image of `labeled`."""
    bar = tqdm(answers.items(), "scoring", unit="version", disable=None)
    resamples = bootstrap.Resamples(labeled.index.labels, labeled.index.lesions)  # drawing takes as long as scoring
    results = [_result(folders, labeled, name, version, resamples) for name, version in bar]
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
    """The paired differences of all versions from each of `AGAINST` and the champion, as far as they are there."""
    references = [name for name in dict.fromkeys((*AGAINST, champion)) if name is not None and name in answers]
    if not references or len(answers) < 2:
        return []
    estimates = _estimates(labeled, answers)
    answered = []
    for reference in references:
        others = [name for name in estimates if name != reference]
        differences = bootstrap.paired_differences([(estimates[name], estimates[reference]) for name in others])
        compared = [
            Compared(entry=name, **difference._asdict()) for name, difference in zip(others, differences, strict=True)
        ]
        compared.sort(key=lambda comparison: -comparison.difference)
        answered.append(Question(against=reference, is_champion=reference == champion, compared=compared))
    return answered


def pair(labeled: LabeledImages, first: Answers, second: Answers) -> bootstrap.Difference:
    """The macro F1 of `first` less that of `second`, on the same images: one question of its own."""
    estimates = _estimates(labeled, {"first": first, "second": second})
    return bootstrap.paired_difference(estimates["first"], estimates["second"])


def _estimates(labeled: LabeledImages, answers: Mapping[str, Answers]) -> dict[str, bootstrap.Estimate]:
    """The macro F1 of each version, paired."""
    resamples = bootstrap.Resamples(labeled.index.labels, labeled.index.lesions, 0, bootstrap.PAIRED_RESAMPLES)
    return {
        name: bootstrap.estimate(resamples, version.predictions(labeled.index).probabilities.argmax(1))
        for name, version in answers.items()
    }


def _result(
    folders: Folders, labeled: LabeledImages, name: str, answers: Answers, resamples: bootstrap.Resamples
) -> Result:
    described, index, is_own = answers.described, labeled.index, labeled.split_sha256 is not None
    thesis, calibration = (described.get(key) or {} for key in ("thesis", "calibration"))
    temperature, corrected = calibration.get("temperature"), calibration.get("prior_corrected") if is_own else None
    predictions, uncalibrated = answers.predictions(index), None
    chosen = described["scores"].get("malignancy") or {}
    p50, p99 = (round(float(value), 1) for value in np.quantile(answers.milliseconds(index), [0.5, 0.99]))
    if temperature is not None:
        raw = without_temperature(predictions.probabilities.astype(np.float64), temperature)
        uncalibrated = scores.reliability(predictions.labels, raw)
    return Result(
        entry=name,
        about=described["about"],
        thesis_macro_f1=thesis.get("macro_f1"),
        thesis_accuracy=thesis.get("accuracy"),
        valid_macro_f1=described["scores"].get("valid", {}).get("macro_f1"),
        scores=scores.score(predictions, resamples),
        latency_p50_ms=p50,
        latency_p99_ms=p99,
        offline=compare_offline(folders.run(name) / "predictions.csv", answers, index) if is_own else None,
        published=compare_record(folders.root, folders.name, name, answers, index) if is_own else None,
        weights_sha256=described["weights_sha256"],
        temperature=temperature,
        challenge=challenge.by_class(predictions),
        malignancy=malignancy.score(predictions, chosen.get("thresholds", {}), resamples),
        uncalibrated=uncalibrated,
        prior_corrected=None if corrected is None else Reliability.model_validate(corrected["test"]),
    )


def save(results: Results, folder: Path) -> None:
    """Write `results.json` and `results.csv` into `folder`."""
    atomic_write(folder / "results.json", results.model_dump_json(indent=1) + "\n")
    content = io.StringIO(newline="")
    rows = [_row(result) for result in results.results]
    writer = csv.DictWriter(content, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
    atomic_write(folder / "results.csv", content.getvalue())


def _row(result: Result) -> dict[str, object]:
    """One line of the CSV; an interval is two columns, and so on for each class."""
    scores = result.scores
    row = _columns(result, ["entry"]) | _columns(scores, ["macro_f1"])
    row |= _columns(result, ["thesis_macro_f1", "valid_macro_f1"])
    row |= _columns(scores, ["balanced_accuracy", "accuracy", "macro_auc", "melanoma_sensitivity"])
    row |= _columns(scores, ["ece", "brier", "nll"]) | _columns(result, ["temperature"])
    row |= _columns(result.malignancy, ["auc", "partial_auc"], "malignant_")
    for name in ("uncalibrated", "prior_corrected"):
        row |= _columns(getattr(result, name), Reliability.model_fields, f"{name}_")
    row |= _columns(result, ["latency_p50_ms", "latency_p99_ms"])
    row["offline_largest_difference"] = result.offline and result.offline.largest
    for name, of_class in scores.classes.items():
        row |= _columns(of_class, ["precision", "recall", "f1", "auc", "ece", "support"], f"{name}_")
    return row


def _columns(model: BaseModel | None, fields: Iterable[str], prefix: str = "") -> dict[str, object]:
    """Some fields as columns; one with an interval gives three."""
    columns: dict[str, object] = {}
    for field in fields:
        columns[prefix + field] = getattr(model, field, None)
        if hasattr(model, f"{field}_interval"):
            low, high = getattr(model, f"{field}_interval") or (None, None)
            columns |= {f"{prefix}{field}_low": low, f"{prefix}{field}_high": high}
    return columns


def load(folder: Path) -> Results | None:
    """The results that `save` wrote, if there are any."""
    try:
        return Results.model_validate_json((folder / "results.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def most_misclassified(labeled: LabeledImages, answers: Sequence[Answers], limit: int) -> list[tuple[int, int]]:
    """Images, by row, that more than half of `answers` get wrong, and how many do: `limit` of them, the worst first.

    Among equals, those come first whose true class gets the lowest mean probability.
    """
    # [versions, n, 7]
    probabilities = np.stack([version.predictions(labeled.index).probabilities for version in answers])
    mistakes = (probabilities.argmax(2) != labeled.index.labels).sum(0)
    of_true_class = probabilities[:, np.arange(len(labeled.index)), labeled.index.labels].mean(0)
    order = np.lexsort((of_true_class, -mistakes))[:limit]
    return [(int(row), int(mistakes[row])) for row in order if mistakes[row] * 2 > len(answers)]
