"""Make an entry the champion: served, scored as it is served, and not significantly worse than the current one."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from compare import evaluate, results
from compare.client import Zoo
from compare.collect import describe_all
from compare.labeled import LabeledImages
from zoo.metrics.bootstrap import SIGNIFICANCE_LEVEL, Difference
from zoo.serving import champion
from zoo.serving.champion import Champion, ChampionError
from zoo.serving.http import ServerError
from zoo.study import Folders

BEST = "best"
"""Instead of an entry: the one that is best on validation."""


def promote(
    zoo: Zoo, folders: Folders, labeled: LabeledImages, reports: Path, entry: str, force: bool = False
) -> Champion:
    """Make `entry` (or `BEST`) the default version, and record when and on what figures.

    `reports` is the study's folder of reports. Raises `ChampionError` where the entry is not served, and, unless
    `force`, where it was not scored as it is served or is significantly worse than the current champion.
    """
    entries = describe_all(zoo)
    name = best(entries) if entry == BEST else entry
    if name not in entries:
        raise ChampionError(f"{name} is not served; there are: {', '.join(entries)}")
    current, weights_sha256 = champion.current(folders.archives), entries[name]["weights_sha256"]
    computed = results.load(reports)
    scored = {result.entry: result for result in computed.results} if computed else {}

    def is_stale(entry: str) -> bool:
        """Whether it is served, but was not scored as it is served now."""
        as_scored = scored[entry].weights_sha256 if entry in scored else None
        return entry in entries and as_scored != entries[entry]["weights_sha256"]

    objection, difference, result = "", None, scored.get(name)
    if is_stale(name):
        objection, result = f"{name} was not scored as it is served now; first: make compare", None
    elif current is not None and current.entry != name:
        if is_stale(current.entry):
            objection = f"the champion, {current.entry}, was not scored as it is served now; first: make compare"
        else:
            with suppress(ServerError):  # one of the two was not scored
                difference = evaluate.ab(labeled, reports, name, current.entry)
            objection = _objection(name, current.entry, difference)
    if objection and not force:
        raise ChampionError(f"{objection} (FORCE=1 promotes it all the same)")
    promoted = Champion(
        entry=name,
        since=champion.now(),
        weights_sha256=weights_sha256,
        macro_f1=result and result.scores.macro_f1,
        macro_f1_interval=result and result.scores.macro_f1_interval,
        valid_macro_f1=_valid_macro_f1(entries[name]),
        previous=current and current.entry,
        difference=difference and difference.difference,
        difference_interval=difference and difference.interval,
        p=difference and difference.p,
        forced=objection or None,
    )
    zoo.set_default(name)
    champion.append(folders.archives, promoted)
    return promoted


def best(entries: Mapping[str, Mapping[str, Any]]) -> str:
    """The entry with the highest macro F1 on validation. Raises `ChampionError` where none has any."""
    valid = {name: score for name, entry in entries.items() if (score := _valid_macro_f1(entry)) is not None}
    if not valid:
        raise ChampionError("no served entry has validation scores")
    return max(sorted(valid), key=valid.__getitem__)


def _valid_macro_f1(entry: Mapping[str, Any]) -> float | None:
    score: float | None = entry["scores"].get("valid", {}).get("macro_f1")
    return score


def _objection(name: str, reference: str, difference: Difference | None) -> str:
    """What speaks against `name` instead of the champion `reference`; empty if nothing does."""
    if difference is None:
        return f"the champion, {reference}, was not scored on the same images; serve both and: make compare"
    if difference.difference < 0 and difference.p < SIGNIFICANCE_LEVEL:
        low, high = difference.interval
        return (
            f"{name} is significantly worse than the champion, {reference}: macro F1 {difference.difference:+.3f} "
            f"({low:+.3f} to {high:+.3f}), p = {difference.p:.4f}"
        )
    return ""
