"""Make an experiment's winner the champion, or bring the champion before it back."""

from pathlib import Path

from gateway.verdict.verdict import Verdict, in_words
from zoo.kinds.classifier import CLASSIFIER
from zoo.serving import champion
from zoo.serving.champion import Champion, ChampionError, Evidence
from zoo.serving.runtime import Server


def promote(server: Server, archives: Path, verdict: Verdict, entry: str = "", force: bool = False) -> Champion:
    """Make the winner of an experiment, or its arm `entry`, the default version, and record on what figures.

    Raises `ChampionError` where it is not served, and, unless `force`, where it is not shown to be better or no worse,
    its clients are not by the shares, it was taken out or trained anew, or fails more often than the reference.
    """
    name = entry or verdict.winner
    names = [arm.name for arm in verdict.arms]
    if name is None:
        raise ChampionError(
            f"{verdict.experiment.name}: nothing is shown yet; wait for more feedback, or name one of "
            f"{', '.join(names)}: ENTRY=... FORCE=1"
        )
    if name not in names:
        raise ChampionError(f"{name} is no arm of {verdict.experiment.name}; there are: {', '.join(names)}")
    objection = _objection(verdict, name)
    if objection and not force:
        raise ChampionError(f"{objection} (FORCE=1 promotes it all the same)")
    current = champion.current(archives)
    promoted = _record(server, name, current, forced=objection or None, evidence=_evidence(verdict, name))
    server.set_default(CLASSIFIER.model, name)
    champion.append(archives, promoted)
    return promoted


def roll_back(server: Server, archives: Path, why: str, force: bool = False) -> Champion:
    """Make the champion before the present one the default version again, and record why.

    Raises `ChampionError` where there was none, it is not served, or, unless `force`, it was trained anew since.
    """
    current, earlier = champion.current(archives), champion.before(archives)
    if current is None or earlier is None:
        raise ChampionError("there is no earlier champion to go back to; choose one: make promote ENTRY=...")
    retrained = champion.is_retrained(archives, earlier.entry, earlier.weights_sha256)
    objection = f"{earlier.entry} was trained anew since it was promoted" if retrained else ""
    if objection and not force:
        raise ChampionError(
            f"{objection}; score and promote it: make compare promote ENTRY={earlier.entry} (or FORCE=1)"
        )
    back = _record(server, earlier.entry, current, forced=objection or None, evidence=None)
    kept = {} if retrained else earlier.model_dump(include={"macro_f1", "macro_f1_interval"})
    back = back.model_copy(update=kept | {"rolled_back": why})
    server.set_default(CLASSIFIER.model, back.entry)
    champion.append(archives, back)
    return back


def _objection(verdict: Verdict, name: str) -> str:
    """What speaks against an arm; empty if nothing does."""
    experiment, comparison = verdict.experiment, verdict.comparison(name)
    if name in experiment.removed:
        return f"{name} was taken out of {experiment.name}: {experiment.removed[name].reason}"
    if verdict.wrong_shares:
        return f"the clients of {experiment.name} are not by its arms' shares, so its comparisons may mislead"
    if changed := [one for one in (name, experiment.reference) if one in verdict.retrained]:
        return f"{changed[0]} was trained anew since {experiment.name} began; start another experiment"
    failures = verdict.failure_differences.get(name)
    if failures and failures.interval[0] > 0:
        return f"{name} fails more often than {experiment.reference} ({failures.value:+.3f} of what it is asked)"
    if comparison is None:
        return "" if verdict.winner == name else f"{name}, the reference, is not shown to be better than the others"
    if comparison.conclusion in ("better", "no worse"):
        return ""
    words = in_words(comparison.conclusion, experiment.smallest_difference)
    return f"{name} against {comparison.reference}: {words}; it is not shown to be better, or no worse"


def _evidence(verdict: Verdict, name: str) -> Evidence:
    experiment, comparison = verdict.experiment, verdict.comparison(name)
    metric = experiment.metric
    if comparison is None:
        words = {one.arm: in_words(one.conclusion, experiment.smallest_difference) for one in verdict.comparisons}
        return Evidence(
            experiment=experiment.name,
            reference=name,
            conclusion=f"the reference; {', '.join(f'{arm} {shown}' for arm, shown in words.items())}",
            metric=metric,
            difference=None,
            difference_interval=None,
            labeled=sum(arm.labeled for arm in verdict.arms if not arm.shadow),
        )
    estimate = comparison.differences[metric]
    return Evidence(
        experiment=experiment.name,
        reference=comparison.reference,
        conclusion=in_words(comparison.conclusion, experiment.smallest_difference),
        metric=metric,
        difference=estimate and estimate.value,
        difference_interval=estimate and estimate.interval,
        labeled=comparison.labeled,
    )


def _record(
    server: Server, name: str, current: Champion | None, forced: str | None, evidence: Evidence | None
) -> Champion:
    """A champion's record without scores of the test split. Raises `ChampionError` where it is not served."""
    served = server.versions(CLASSIFIER.model)
    if name not in served:
        raise ChampionError(f"{name} is not served; there are: {', '.join(served)}")
    described = server.describe(CLASSIFIER.model, name)
    return Champion(
        entry=name,
        since=champion.now(),
        weights_sha256=described["weights_sha256"],
        macro_f1=None,
        macro_f1_interval=None,
        valid_macro_f1=described["scores"].get("valid", {}).get("macro_f1"),
        previous=current and current.entry,
        difference=None,
        difference_interval=None,
        p=None,
        forced=forced,
        evidence=evidence,
    )
