"""The page in short: main findings, a sentence each, in the order in which a reader asks for them."""

from collections.abc import Iterable, Sequence

from compare.records import markdown, worth
from compare.records.leak import Leak, Part
from compare.records.markdown import code
from compare.records.record import Recorded
from compare.records.repeats import Repeated
from compare.records.worth import Finding, Question


def of_study(study: Recorded, questions: Sequence[Question]) -> list[str]:
    """What the study's classifiers and the paired differences say."""
    if not study.classifiers:
        return []
    said = [_best(study)]
    for question in questions:
        said += _rare(study, question) if question.name == "rare" else [_against(question)]
    return said


def of_repeats(repeated: Iterable[Repeated]) -> list[str]:
    """How far one recipe's seeds are apart: what differences of single runs are to be held against."""
    said = []
    for group in repeated:
        for name, scores in group.scores.items():
            told = []
            for key, measure in (("macro_f1", "macro F1"), ("accuracy", "accuracy")):
                values = [getattr(one, key) for one in scores.values()]
                told.append(f"{measure} from {min(values):.3f} to {max(values):.3f}")
            of = f"{len(scores)} seeds of `{group.studies[0].name}`"
            said.append(f"Another seed alone moves `{name}`, too ({of}): {', '.join(told)}.")
    return said


def of_leaks(leaks: Iterable[Leak]) -> list[str]:
    """What siblings in training are worth, seed by seed, on the images that have them, on the others, and on all."""
    groups: dict[tuple[str, str], list[Leak]] = {}
    for leak in leaks:
        groups.setdefault((leak.entry, leak.with_siblings.settings.but("split", "seed")), []).append(leak)
    said = []
    for (entry, _), found in groups.items():
        seeds = ", ".join(str(leak.with_siblings.settings.seed) for leak in found)
        first = found[0]
        parts = [
            f"on the {first.leaking.images:,} test images that leak, {_gains([one.leaking for one in found])}",
            f"on the {first.others.images:,} others, {_gains([one.others for one in found])}",
            f"on all, {_gains([one.every for one in found])}",
        ]
        words = "one training each way" if len(found) == 1 else f"{len(found)} trainings each way"
        said.append(
            f"The leak of the thesis's split, with `{entry}` ({words}, seed {seeds}; with siblings less without): "
            f"{'; '.join(parts)}."
        )
    return said


def _gains(parts: Iterable[Part]) -> str:
    by_measure: dict[str, list[str]] = {}
    for part in parts:
        for gain in part.gains:
            by_measure.setdefault(gain.measure, []).append(f"{gain.found.difference:+.3f}")
    return ", ".join(f"{measure} {', '.join(values)}" for measure, values in by_measure.items())


def _best(study: Recorded) -> str:
    record = max(study.classifiers.values(), key=lambda record: record.valid.macro_f1)
    low, high = record.test.macro_f1_interval
    return (
        f"Of {len(study.classifiers)} classifiers `{record.entry}` validates best "
        f"(macro F1 {record.valid.macro_f1:.3f}); on the test images it gets {record.test.macro_f1:.3f} "
        f"({low:.3f} to {high:.3f})."
    )


def _against(question: Question) -> str:
    gained, lost = (
        [f"`{one.entry}` ({markdown.difference(one.found)})" for one in question.findings if one.verdict == verdict]
        for verdict in ("helped", "hurt")
    )
    every = len(question.findings)
    return (
        f"Macro F1 against `{question.findings[0].against}`: shown higher for {_listed(gained)}, lower for "
        f"{_listed(lost)}; not told apart: {every - len(gained) - len(lost)} of {every}."
    )


def _listed(said: Sequence[str]) -> str:
    return ", ".join(said) if said else "none"


def _rare(study: Recorded, question: Question) -> list[str]:
    said = []
    for technique in ("weighting", "sampling", "synthetic images"):
        used = [one for one in question.findings if technique in worth.techniques(study, one.entry)]
        if used:
            entries = len({one.entry for one in used})
            several = f"{entries} {'entry' if entries == 1 else 'entries'}"
            told = "; ".join(_gain(used, measure) for measure in (worth.RARE_F1, worth.RARE_RECALL))
            said.append(
                f"Rare classes with {technique}, alone or with others ({several}, each against the same start "
                f"without): {told}."
            )
    return said


def _gain(findings: Sequence[Finding], measure: str) -> str:
    found = [one for one in findings if one.measure == measure]
    helped, hurt = ([one.entry for one in found if one.verdict == verdict] for verdict in ("helped", "hurt"))
    return (
        f"{measure.removesuffix(' of the rare classes')} shown higher for {_some(helped)}, lower for {_some(hurt)}, "
        f"not told apart: {len(found) - len(helped) - len(hurt)}"
    )


def _some(names: Sequence[str]) -> str:
    return f"{len(names)} ({code(names)})" if names else "0"
