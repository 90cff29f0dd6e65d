"""Tables of docs/results.md, each made from records or from what was found in them."""

from collections.abc import Mapping, Sequence

from compare.records import markdown, worth
from compare.records.leak import Leak
from compare.records.record import ClassifierRecord, Recorded
from compare.records.repeats import Repeated
from compare.records.worth import Finding, Question
from lesions.labels import CLASSES
from zoo.build.listing import describe_options, section_key
from zoo.entry import Classifier, Entry, Thesis
from zoo.metrics.scores import QUALITY, SPECIFICITY
from zoo.study import DEFAULT_ARCHITECTURE, Study

REPEATED = {"macro_f1": "macro F1", "balanced_accuracy": "balanced accuracy", "accuracy": "accuracy"}
"""What is shown of each seed."""

NOT_TRAINED = "not trained (yet)"

Row = tuple[str, Thesis | None, str, ClassifierRecord | None]
"""Of the table: entry, the thesis on it, what differs, and the record, if there is one."""


def rows(study: Recorded, catalog: Mapping[str, Entry]) -> list[Row]:
    """Every classifier of the thesis, trained or not, and what else is recorded, in the thesis's order."""
    absent = [
        (name, entry.thesis, describe_options(entry), None)
        for name, entry in catalog.items()
        if isinstance(entry, Classifier) and entry.thesis is not None and name not in study.classifiers
    ]
    there = [(name, record.thesis, record.differs, record) for name, record in study.classifiers.items()]
    return sorted([*absent, *there], key=lambda row: (section_key(row[1]), row[0]))


def scores(chosen: Sequence[Row]) -> str:
    """The thesis's table, with its figures and ours."""
    headings = [
        *("section", "entry", "what differs from the baseline", "thesis F1", "thesis accuracy", "valid F1"),
        *(
            "test macro F1, 95 % interval",
            "balanced accuracy",
            "accuracy",
            f"melanoma sensitivity at {SPECIFICITY * 100:.0f} % specificity",
        ),
        *("last epoch's test F1", "best epoch", "training"),
    ]
    return markdown.table(headings, [_scores(*row) for row in chosen], words=3)


def _scores(name: str, thesis: Thesis | None, words: str, record: ClassifierRecord | None) -> list[str]:
    said = [thesis.section if thesis else "", f"`{name}`", words]
    said += [
        "" if value is None else f"{value:.2f}" for value in (thesis and thesis.macro_f1, thesis and thesis.accuracy)
    ]
    if record is None:
        return [*said, "", NOT_TRAINED, *[""] * 6]
    test = record.test
    return [
        *said,
        f"{record.valid.macro_f1:.3f}",
        f"**{test.macro_f1:.3f}** {markdown.interval(test.macro_f1_interval)}",
        f"{test.balanced_accuracy:.3f}",
        f"{test.accuracy:.3f}",
        "" if test.melanoma_sensitivity is None else f"{test.melanoma_sensitivity:.2f}",
        f"{record.last_test.macro_f1:.3f}",
        f"{record.best_epoch} of {record.recipe.epochs}",
        markdown.duration(record.seconds),
    ]


def by_class(study: Recorded) -> str:
    """The F1 of each class by each entry."""
    first = next(iter(study.classifiers.values()))
    headings = ["entry", *(f"{name} ({first.test.classes[name].support})" for name in CLASSES)]
    found = [
        [f"`{name}`", *(f"{record.test.classes[label].f1:.2f}" for label in CLASSES)]
        for name, record in study.classifiers.items()
    ]
    return markdown.table(headings, found)


def commands(study: Recorded, catalog: Mapping[str, Entry]) -> str:
    """What makes the study's records again."""
    settings, usual = study.settings, Study()
    files = settings.weights not in ("imagenet", "procedural")
    given = {} if settings.data == "phantom" else {"DATA": f"~/{settings.data}"}
    given |= {"SCALE": settings.scale, "WEIGHTS": f"~/{settings.weights}" if files else settings.weights}
    given |= {} if settings.arch == DEFAULT_ARCHITECTURE else {"ARCH": settings.arch}
    kept = {"SPLIT": settings.split, "SEED": settings.seed}
    kept |= {"GENERATOR_SEED": settings.generator_seed, "THREADS": settings.threads}
    given |= {key: str(value) for key, value in kept.items() if value != getattr(usual, key.lower())}
    given |= {} if settings.usual_name == study.name else {"STUDY": study.name}
    entries = "" if study.records.keys() >= catalog.keys() else f' ENTRIES="{" ".join(study.records)}"'
    told = " ".join(f"{key}={value}" for key, value in given.items())
    return f"make zoo {told}{entries}\nmake results STUDY={study.name}"


def worths(study: Recorded, question: Question) -> str:
    """A question's findings as a table."""
    headings = ("entry", "less", "of", "difference, 95 % interval", "p", "p, Holm", "said", "images drawn")
    return markdown.table(headings, [_worth(study, finding) for finding in question.findings], words=3)


def _worth(study: Recorded, finding: Finding) -> list[str]:
    drawn, usual = (worth.images_drawn(study, name) for name in (finding.entry, finding.against))
    said = f"**{finding.verdict}**" if finding.verdict in ("helped", "hurt") else finding.verdict
    return [
        f"`{finding.entry}`",
        f"`{finding.against}`",
        finding.measure,
        markdown.difference(finding.found),
        markdown.p(finding.found.p),
        markdown.p(finding.p_holm),
        said,
        f"x {drawn / usual:.1f}",
    ]


def seeds(found: Repeated) -> str:
    """Scores of each seed, their mean and spread, and differences of macro F1 from what an entry is compared with."""
    headings = ("entry", "measure", *(f"seed {seed}" for seed in found.seeds), "mean", "highest less lowest")
    lines = [
        [f"`{name}`", measure, *_spread({seed: getattr(one, key) for seed, one in by_seed.items()}, found.seeds)]
        for name, by_seed in found.scores.items()
        for key, measure in REPEATED.items()
    ]
    told = [said for name in found.scores for said in _apart(found, name)]
    return "\n".join([markdown.table(headings, lines, words=2), *told])


def _spread(values: Mapping[int, float], seeds: Sequence[int]) -> list[str]:
    told, mean = values.values(), sum(values.values()) / len(values)
    each = (f"{values[seed]:.3f}" if seed in values else "" for seed in seeds)
    return [*each, f"{mean:.3f}", f"{max(told) - min(told):.3f}"]


def _apart(found: Repeated, name: str) -> list[str]:
    """By how much an entry is above what it is compared with, seed by seed; nothing if the other has no repeats."""
    against = next(study for study in found.studies if name in study.classifiers)
    other = worth.reference(against, name)
    apart = found.differences(name, other) if other else {}
    if not apart:
        return []
    higher, lower = (sum(way * round(value, 3) > 0 for value in apart.values()) for way in (1, -1))
    ways = {higher: "always higher", lower: "always lower"}
    words = f": {ways.get(len(apart), 'not always the same way')}" if len(apart) > 1 else ""
    told = ", ".join(f"{value:+.3f} (seed {seed})" for seed, value in apart.items())
    return ["", f"Macro F1 of `{name}` less that of `{other}`: {told}{words}."]


def leak(found: Leak) -> str:
    """The gains on the images that leak, on the others, and on all."""
    headings = ("test images", "measure", "with siblings", "without", "difference, 95 % interval", "p", "p, Holm")
    lines = []
    parts = (
        (found.leaking, "whose lesion is in training"),
        (found.others, "others"),
        (found.every, "in all"),
    )
    for part, words in parts:
        for gain in part.gains:
            figures = [f"{gain.with_siblings:.3f}", f"{gain.without:.3f}", markdown.difference(gain.found)]
            figures += [markdown.p(gain.found.p), markdown.p(gain.p_holm)]
            lines.append([f"{part.images:,} {words}", gain.measure, *figures])
    return markdown.table(headings, lines, words=2)


def quality(study: Recorded) -> str:
    """Every generator's quality on validation images, at its best step and its last, with the floor above."""
    headings = ("generator", "step", *QUALITY.values(), "training")
    lines: list[list[str]] = []
    floor: Mapping[str, float | None] = {}
    for name, record in study.generators.items():
        if record.floor != floor:
            floor = record.floor
            lines.append(["real training images (the floor)", "", *(_figure(floor[key]) for key in QUALITY), ""])
        for what, found in (("best", record.best), ("last", record.last)):
            step = f"{found['step']:,} of {record.recipe.steps:,}"
            if record.failed and what == "last":
                step += f"; the losses were no numbers at {record.steps:,}"
            time = markdown.duration(record.seconds)
            lines.append([f"`{name}`, {what}", step, *(_figure(found[key]) for key in QUALITY), time])
    return markdown.table(headings, lines)


def copies(study: Recorded) -> str:
    """The distance of synthetic images to the nearest training image, by class."""
    lines = [
        [f"`{name}`", *(_figure(record.distance_to_training[label]) for label in CLASSES)]
        for name, record in study.generators.items()
    ]
    return markdown.table(["generator", *CLASSES], lines)


def _figure(value: float | None) -> str:
    if value is None:
        return "no number"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
