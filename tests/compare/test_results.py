"""What is drawn from all answers together."""

from typing import cast

from compare.answers import Answer, Answers
from compare.labeled import LabeledImages
from compare.results import most_misclassified
from lesions.index import Index
from lesions.sources.image_files import ImageFiles


def test_images_that_most_versions_get_wrong_come_first() -> None:
    index = Index.of([(f"i{k}", 0, f"l{k}") for k in range(4)])
    # The probability of the true class in each of four versions; below a half it is a mistake.
    chances = {
        "i0": (0.9, 0.9, 0.9, 0.9),
        "i1": (0.1, 0.1, 0.4, 0.9),
        "i2": (0.1, 0.1, 0.1, 0.9),
        "i3": (0.1, 0.1, 0.9, 0.9),
    }
    versions = []
    for version in range(4):
        answers = {}
        for image, values in chances.items():
            answers[image] = Answer(1.0, [values[version], 1 - values[version], 0, 0, 0, 0, 0])
        versions.append(Answers({}, "", answers))
    labeled = LabeledImages("mine", index, cast(ImageFiles, None), "")
    # i3 is wrong in half of them, i0 in none.
    assert most_misclassified(labeled, versions, 4) == [(2, 3), (1, 3)]
    assert most_misclassified(labeled, versions, 1) == [(2, 3)]
