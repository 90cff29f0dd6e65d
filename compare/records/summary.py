"""The page in short: a study's main findings, a sentence each, in the order in which a reader asks for them."""

from collections.abc import Sequence

from compare.records import markdown, worth
from compare.records.leak import Leak
from compare.records.markdown import code
from compare.records.record import Recorded
from compare.records.repeats import Repeated
from compare.records.worth import Finding, Question


def best(study: Recorded) -> str:
    """Which classifier validates best, and what it is worth on the test images."""
    record = max(study.classifiers.values(), key=lambda record: record.valid.macro_f1)
    low, high = record.test.macro_f1_interval
    return (
        f"Of {len(study.classifiers)} classifiers `{record.entry}` validates best "
        f"(macro F1 {record.valid.macro_f1:.3f}); on the test images it gets {record.test.macro_f1:.3f} "
        f"({low:.3f} to {high:.3f})."
    )


def against(question: Question) -> str:
    """What is better, or worse, than the entry that a question is about, and by how much."""
    gained, lost = (
        [f"`{one.entry}` ({markdown.difference(one.found)})" for one in question.findings if one.verdict == verdict]
        for verdict in ("helped", "hurt")
    )
    every = len(question.findings)
    return (
        f"Macro F1 against `{question.findings[0].against}`: higher for {_listed(gained)}, lower for {_listed(lost)}; "
        f"no difference shown for {every - len(gained) - len(lost)} of {every}."
    )


def _listed(said: Sequence[str]) -> str:
    return ", ".join(said) if said else "none"


def rare(study: Recorded, question: Question) -> list[str]:
    """What each technique did for the rare classes."""
    said = []
    for technique in ("weighting", "sampling", "synthetic images"):
        used = [one for one in question.findings if technique in worth.techniques(study, one.entry)]
        if used:
            told = [_gain(used, measure) for measure in (worth.RARE_F1, worth.RARE_RECALL)]
            entries = len({one.entry for one in used})
            several = "entry" if entries == 1 else "entries"
            said.append(f"Rare classes, {technique} (alone or with others, {entries} {several}): {'; '.join(told)}.")
    return said


def _gain(findings: Sequence[Finding], measure: str) -> str:
    found = [one for one in findings if one.measure == measure]
    helped, hurt = ([one.entry for one in found if one.verdict == verdict] for verdict in ("helped", "hurt"))
    return f"{measure.removesuffix(' of the rare classes')} higher in {_some(helped)}, lower in {_some(hurt)}"


def _some(names: Sequence[str]) -> str:
    return f"{len(names)} ({code(names)})" if names else "0"


def seeds(found: Repeated) -> str:
    """How far one recipe's seeds are apart: what differences of single runs are to be held against."""
    each = [
        f"`{name}` {min(values.values()):.3f} to {max(values.values()):.3f} over {len(values)}"
        for name, values in found.macro_f1.items()
    ]
    return f"Another seed alone moves macro F1, too: {', '.join(each)} seeds."


def leaked(found: Leak) -> str:
    """What siblings in training are worth on the images that have them."""
    gains = [
        f"{gain.measure} {gain.found.difference:+.3f} (p = {markdown.p(gain.p_holm)})" for gain in found.leaking.gains
    ]
    return (
        f"The leak of the thesis's split, on the {found.leaking.images:,} test images whose lesion is in training, for "
        f"`{found.entry}` (seed {found.with_siblings.settings.seed}): {', '.join(gains)}."
    )


def summary(
    study: Recorded, questions: Sequence[Question], repeated: Sequence[Repeated], leaks: Sequence[Leak]
) -> list[str]:
    """All that is to be said of `study`; what no record speaks of is left out."""
    if not study.classifiers:
        return []
    said = [best(study)]
    for question in questions:
        said += rare(study, question) if question.name == "rare" else [against(question)]
    said += [seeds(group) for group in repeated if group.studies[0].name == study.name]
    settings = study.settings.but("split", "seed")
    return said + [leaked(one) for one in leaks if one.with_siblings.settings.but("split", "seed") == settings]
