"""Makes an entry the champion: served, scored as it is served, and not significantly worse than the present one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compare import answers, results
from compare.client import Zoo
from compare.evaluate import served
from compare.labeled import LabeledImages
from zoo.metrics.bootstrap import Difference
from zoo.serving import champion
from zoo.serving.champion import Champion, ChampionError
from zoo.study import Folders

BEST = "best"
"""Instead of an entry: the one that is best on validation."""

LEVEL = 0.05
"""A champion is not replaced by an entry that is worse with a p value below this."""


def promote(
    zoo: Zoo, folders: Folders, labeled: LabeledImages, reports: Path, entry: str, force: bool = False
) -> Champion:
    """Make `entry` (or `BEST`) the default version, and write down when and on what figures.

    `reports` is the study's folder of reports. Raises `ChampionError` where the entry is not served, and, unless
    `force`, where it was not scored as it is served or is significantly worse than the present champion.
    """
    described = served(zoo)
    name = best(described) if entry == BEST else entry
    if name not in described:
        raise ChampionError(f"{name} is not served; there are: {', '.join(described)}")
    present = champion.current(folders.archives)
    found = results.load(reports)
    result = next((one for one in found.results if one.entry == name), None) if found else None
    against, difference = "", None
    if result is None or result.weights_sha256 != described[name]["weights_sha256"]:
        against, result = f"{name} was not scored as it is served now; first: make compare", None
    elif present is not None and present.entry != name:
        difference = _difference(labeled, reports, name, present.entry)
        against = _objection(name, present.entry, difference)
    if against and not force:
        raise ChampionError(f"{against} (FORCE=1 promotes it all the same)")
    promoted = Champion(
        entry=name,
        since=champion.now(),
        weights_sha256=described[name]["weights_sha256"],
        macro_f1=result and result.scores.macro_f1,
        macro_f1_interval=result and result.scores.macro_f1_interval,
        valid_macro_f1=_valid(described[name]),
        previous=present and present.entry,
        difference=difference and difference.difference,
        difference_interval=difference and difference.interval,
        p=difference and difference.p,
        forced=against or None,
    )
    zoo.set_default(name)
    champion.append(folders.archives, promoted)
    return promoted


def best(described: Mapping[str, Mapping[str, Any]]) -> str:
    """The entry with the highest macro F1 on validation. Raises `ChampionError` where none has any."""
    valid = {name: score for name, entry in described.items() if (score := _valid(entry)) is not None}
    if not valid:
        raise ChampionError("no served entry has validation scores")
    return max(sorted(valid), key=valid.__getitem__)


def _valid(entry: Mapping[str, Any]) -> float | None:
    score = entry["scores"].get("valid", {}).get("macro_f1")
    return None if score is None else float(score)


def _difference(labeled: LabeledImages, reports: Path, name: str, other: str) -> Difference | None:
    """The paired difference of two entries' answers; none where one lacks some."""
    both = [answers.read(reports / "answers" / f"{entry}.jsonl") for entry in (name, other)]
    mine, others = both
    if mine is None or others is None:
        return None
    try:
        return results.pair(labeled, mine, others)
    except KeyError:
        return None


def _objection(name: str, other: str, difference: Difference | None) -> str:
    """What speaks against `name` instead of `other`; empty if nothing does."""
    if difference is None:
        return f"the champion, {other}, was not scored on the same images; serve both and: make compare"
    if difference.difference < 0 and difference.p < LEVEL:
        low, high = difference.interval
        return (
            f"{name} is significantly worse than the champion, {other}: macro F1 {difference.difference:+.3f} "
            f"({low:+.3f} to {high:+.3f}), p = {difference.p:.4f}"
        )
    return ""
