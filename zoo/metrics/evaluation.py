"""Everything that is scored of a finished classifier or ensemble: what its `scores.json` and its card say."""

from typing import Any

from zoo.metrics import challenge, malignancy, scores
from zoo.metrics.bootstrap import Resamples
from zoo.metrics.scores import Predictions


def evaluate(valid: Predictions, test: Predictions) -> dict[str, Any]:
    """The scores of predictions of validation and test images, as JSON has them.

    `valid` and `test` as `zoo.metrics.scores.Scores`; `challenge`, of test images, as `zoo.metrics.challenge`;
    `malignancy` as `zoo.metrics.malignancy`, its thresholds chosen on validation.
    """
    resamples = {"valid": Resamples(valid.labels, valid.lesions), "test": Resamples(test.labels, test.lesions)}
    parts = {"valid": valid, "test": test}
    report: dict[str, Any] = {
        name: scores.score(part, resamples[name]).model_dump(mode="json") for name, part in parts.items()
    }
    report["challenge"] = {name: score.model_dump() for name, score in challenge.by_class(test).items()}
    thresholds = malignancy.thresholds(valid)
    report["malignancy"] = {"thresholds": thresholds} | {
        name: score and score.model_dump(mode="json")
        for name, part in parts.items()
        for score in [malignancy.score(part, thresholds, resamples[name])]
    }
    return report
