"""A thousand images that are left out are a reason, three names and a count."""

from lesions.sources.left_out import LeftOut, by_reason


def test_images_are_grouped_by_reason() -> None:
    left_out = [LeftOut(str(k), "not there") for k in range(1000)] + [LeftOut("x", "unlabeled")]
    assert by_reason(left_out) == ["not there: 1,000 images (0, 1, 2, ...)", "unlabeled: 1 image (x)"]
    assert by_reason([]) == []


def test_details_that_differ_are_left_away() -> None:
    same = [LeftOut(image, "no image (JPEG, PNG)") for image in "ab"]
    assert by_reason(same) == ["no image (JPEG, PNG): 2 images (a, b)"]
    different = [LeftOut(image, f"cut short ({image})") for image in "ab"]
    assert by_reason(different) == ["cut short: 2 images (a, b)"]
