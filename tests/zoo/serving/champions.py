"""A champion with made-up scores."""

from zoo.serving.champion import Champion


def promoted(entry: str, weights: str = "w") -> Champion:
    return Champion(
        entry=entry,
        since="2026-11-24T07:03:10+00:00",
        weights_sha256=weights,
        macro_f1=0.5,
        macro_f1_interval=(0.4, 0.6),
        valid_macro_f1=0.55,
        previous=None,
        difference=None,
        difference_interval=None,
        p=None,
        forced=None,
    )
