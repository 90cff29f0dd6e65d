import pytest

from gateway.page import words
from lesions.labels import CLASSES

NBSP = "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0"), (0.004, "under 1"), (0.62, "62"), (0.996, "over 99"), (1, "100")]
)
def test_percentages(share: float, text: str) -> None:
    assert words.percent(share) == f"{text}{NBSP}%"


def test_how_sure_a_version_is() -> None:
    probabilities = dict.fromkeys(CLASSES, 0.02) | {"mel": 0.6, "nv": 0.3}
    assert words.how_sure(probabilities) == (
        f"It is 60{NBSP}% sure of melanoma (mel); next, with 30{NBSP}%, comes melanocytic nevus (nv)."
    )


def scores(ece: float) -> dict[str, object]:
    confusion = [[0] * 7 for _ in CLASSES]
    confusion[4][4], confusion[5][4], confusion[5][6] = 12, 10, 3
    return {"scores": {"test": {"confusion": confusion, "ece": ece, "images": 25}}}


def test_how_well_a_version_does() -> None:
    right, calibrated = words.how_well(scores(0.0972), "mel")
    assert right == "Of 22 test images that it called melanoma (mel), 12 were."
    assert "On 25 test images" in calibrated
    assert "10 percentage points apart" in calibrated
    assert (
        words.how_well(scores(0.01), "vasc")[0] == "Of 3 test images that it called vascular lesion (vasc), none were."
    )
    assert words.how_well(scores(0.01), "df")[0] == "It called no test image dermatofibroma (df)."
    assert "1 percentage point apart" in words.how_well(scores(0.01), "df")[1]


@pytest.mark.parametrize("entry", [{}, {"scores": {}}, {"scores": {"test": {}}}])
def test_an_entry_without_scores(entry: dict[str, object]) -> None:
    assert words.how_well(entry, "mel") == []
