"""Sentences of docs/results.md, each made from records or from what was found in them."""

from collections.abc import Mapping, Sequence

from compare.records import markdown, worth
from compare.records.leak import Leak, Part
from compare.records.markdown import code
from compare.records.ordering import Ordering
from compare.records.record import Recorded
from compare.records.tables import rows
from compare.records.worth import Finding, Question
from lesions.labels import CLASSES
from zoo.entry import Entry


def absent(study: Recorded, catalog: Mapping[str, Entry]) -> str:
    """The thesis's entries that a study lacks, in one sentence; empty if there are none."""
    names = [name for name, _, _, record in rows(study, catalog) if record is None]
    return f"Not trained in this study (yet): {code(names)}." if names else ""


def facts(study: Recorded) -> str:
    """What a study was trained on and by, in a sentence or some."""
    records, settings = list(study.records.values()), study.settings
    data = "the phantom (procedural pictures)" if settings.data == "phantom" else f"`{settings.data}`"
    said = f"Data: {data}; network: `{settings.arch}`; weights: `{settings.weights}`; split: `{settings.split}`; "
    seed = str(settings.seed)
    if settings.generator_seed != settings.seed:
        seed += f" (of generators: {settings.generator_seed})"
    said += f"seed: {seed}; threads of a training: {settings.threads}."
    for record in list(study.classifiers.values())[:1]:
        images = {part: sum(counts) for part, counts in record.counts.items()}
        parts = ", ".join(f"{n:,} {part}" for part, n in images.items())
        said += f" Images of {record.recipe.pixels} px: {parts}; the test images show {record.test.lesions:,} lesions."
    hardware = sorted({record.hardware for record in records})
    commits = sorted({record.commit or "unknown" for record in records})
    versions = sorted({_versions(record.versions) for record in records})
    seconds = sum(record.seconds for record in records)
    said += f" Hardware: {'; '.join(hardware)}; {markdown.duration(seconds)} of training in all."
    return f"{said} Code: {', '.join(_short(commit) for commit in commits)}. Libraries: {'; '.join(versions)}."


def _short(commit: str) -> str:
    """A commit in twelve digits, with its `-dirty`."""
    name, dash, dirty = commit.partition("-")
    return f"`{name[:12]}{dash}{dirty}`"


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {versions[name]}" for name in ("python", "torch", "timm") if name in versions)


def verdicts(question: Question) -> list[str]:
    """For each measure of a question: what helped, what hurt, and what cannot be told, one as plainly as the other."""
    measures = dict.fromkeys(finding.measure for finding in question.findings)
    return [
        f"{measure[0].upper()}{measure[1:]}: "
        + "; ".join(
            f"**{words}**: {code(found) if found else 'nothing'}"
            for words, found in _verdicts([one for one in question.findings if one.measure == measure]).items()
        )
        + "."
        for measure in measures
    ]


def _verdicts(findings: Sequence[Finding]) -> dict[str, list[str]]:
    wordings = {
        "helped": "helped",
        "hurt": "hurt",
        "no difference shown": "no difference that this test set can show",
    }
    return {
        words: [finding.entry for finding in findings if finding.verdict == verdict]
        for verdict, words in wordings.items()
    }


def order(found: Ordering, of_what: str) -> str:
    """What became of the thesis's order, in a paragraph."""
    spearman, kendall = (
        f"{one.value:+.2f} {markdown.interval(one.interval)}" for one in (found.spearman, found.kendall)
    )
    same = [pair for pair in found.pairs if pair.shown and pair.found.difference > 0]
    other = [pair for pair in found.pairs if pair.shown and pair.found.difference < 0]
    low, high = found.spearman.interval
    surely = found.p < worth.LEVEL
    said = "goes with" if surely and low > 0 else "goes against" if surely and high < 0 else "is not shown to go with"
    left = len(found.pairs) - len(same) - len(other)
    told = (
        f"{of_what} ({len(found.entries)}): our order **{said}** the thesis's. Spearman's rank correlation of its "
        f"macro F1 with ours is {spearman}, p = {markdown.p(found.p)} against an order drawn by lot; Kendall's is "
        f"{kendall}. The thesis sets {len(found.pairs)} pairs apart: {len(same)} are shown to be in its order here, "
        f"{len(other)} in the other, and {left} this test set cannot tell."
    )
    if other:
        turned = "; ".join(
            f"`{pair.lower}` above `{pair.higher}` by {-pair.found.difference:.3f} (p = {markdown.p(pair.p_holm)})"
            for pair in other
        )
        told += f" In the other order: {turned}."
    return told


def leak_said(found: Leak) -> str:
    """What the leak is worth, in some sentences."""
    before, after = (sum(record.counts["train"]) for record in (found.with_siblings, found.without))
    return (
        f"`{found.entry}` (seed {found.with_siblings.settings.seed}), trained on {before:,} images, and on {after:,}, "
        f"without the siblings of {found.leaking.images:,} test images ({found.leaking.lesions:,} lesions; "
        f"{_by_class(found.leaking)}). With their siblings in training, on exactly these test images: "
        f"{_shown(found.leaking)}. On the {found.others.images:,} others ({_by_class(found.others)}), which lost no "
        f"sibling: {_shown(found.others)}. On all {found.every.images:,}: {_shown(found.every)}."
    )


def _by_class(part: Part) -> str:
    return ", ".join(f"{count} {name}" for name, count in zip(CLASSES, part.counts, strict=True))


def _shown(part: Part) -> str:
    told = [
        f"{gain.measure} {'higher' if gain.found.difference > 0 else 'lower'} by {abs(gain.found.difference):.3f} (p = "
        f"{markdown.p(gain.p_holm)})"
        for gain in part.gains
        if gain.p_holm < worth.LEVEL
    ]
    return ", ".join(told) if told else "no difference that these images can show"
