"""docs/results.md and its pictures, from the committed records alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compare.records import figures, leak, markdown, ordering, repeats, sentences, summary, tables, worth
from compare.records.record import RESULTS, Recorded, load_all
from lesions.files import atomic_write
from lesions.labels import NOTICE
from zoo.build.listing import in_thesis_order
from zoo.entry import Classifier, Entry
from zoo.metrics import bootstrap
from zoo.packaging import card

PAGE = RESULTS.with_suffix(".md")

PICTURES = ("macro_f1", "class_f1", *(f"question_{name}" for name in worth.ASKED))
"""Of a study; what else lies beside its records is not ours."""


def publish(root: Path, catalog: Mapping[str, Entry]) -> Path:
    """Write the page and its pictures from the records below `root`; return the page's file. Raises `RecordError`."""
    text, pictures = page(load_all(root / RESULTS), catalog)
    for name, content in pictures.items():
        atomic_write(root / RESULTS / name, content)
    for file in (root / RESULTS).glob("*/*.png"):
        if file.stem in PICTURES and f"{file.parent.name}/{file.name}" not in pictures:
            file.unlink()  # of a question that nothing answers any more
    atomic_write(root / PAGE, text)
    return root / PAGE


def page(studies: Sequence[Recorded], catalog: Mapping[str, Entry]) -> tuple[str, dict[str, bytes]]:
    """The page of `studies` in Markdown, and its pictures (PNG) by their place below the records' folder.

    The same studies and the same `catalog` give the same text. Raises `RecordError` where records that are to be
    compared are of different images.
    """
    catalog = in_thesis_order(catalog)
    repeated, leaks = repeats.repeats(studies), leak.leaks(studies)
    repeating = {study.name for group in repeated for study in group.studies[1:]}
    main = [study for study in studies if study.name not in repeating and study.settings.split == "lesion"]
    pictures: dict[str, bytes] = {}
    told = [_study(study, catalog, pictures) for study in main]
    text = card.template(Path(__file__).with_name("page.md.j2")).render(
        notice=NOTICE,
        rare=worth.RARE,
        level=worth.LEVEL,
        resamples=bootstrap.RESAMPLES,
        paired_resamples=bootstrap.PAIRED_RESAMPLES,
        licenses=sorted({record.data_licence for study in studies for record in study.records.values()} - {None}),
        main=told,
        short=[sentence for one in told for sentence in one["short"]],
        short_of_all=[*summary.of_repeats(repeated), *summary.of_leaks(leaks)],
        others=[_facts(study, catalog, whole=False) for study in studies if study not in main],
        repeated=[
            {"studies": markdown.code([study.name for study in group.studies]), "table": tables.seeds(group)}
            for group in repeated
        ],
        leaks=[
            {
                "studies": markdown.code([one.with_siblings.study, one.without.study]),
                "said": sentences.leak_said(one),
                "table": tables.leak(one),
            }
            for one in leaks
        ],
    )
    return text, pictures


def _facts(study: Recorded, catalog: Mapping[str, Entry], whole: bool) -> dict[str, Any]:
    """What is said of any study; the `whole` table has rows of entries that were not trained, too."""
    chosen = [row for row in tables.rows(study, catalog) if whole or row[3] is not None]
    return {
        "name": study.name,
        "facts": sentences.facts(study),
        "scores": tables.scores(chosen) if chosen else "",
        "absent": sentences.absent(study, catalog),
        "commands": tables.commands(study, catalog),
        "quality": tables.quality(study) if study.generators else "",
        "copies": tables.copies(study) if study.generators else "",
        "features": sorted({record.features for record in study.generators.values()}),
        "missing_generators": markdown.code(
            [
                name
                for name, entry in catalog.items()
                if not isinstance(entry, Classifier) and name not in study.generators
            ]
        ),
    }


def _study(study: Recorded, catalog: Mapping[str, Entry], pictures: dict[str, bytes]) -> dict[str, Any]:
    """What is said of a study in full; its `pictures` are added to those that there are."""
    judged = worth.judge(study)
    questions = worth.questions(study, judged)
    records = list(study.classifiers.values())

    def picture(name: str, content: bytes) -> str:
        pictures[f"{study.name}/{name}.png"] = content
        return f"{RESULTS.name}/{study.name}/{name}.png"

    return _facts(study, catalog, whole=True) | {
        "macro_f1": picture("macro_f1", figures.macro_f1(records)) if records else "",
        "class_f1": picture("class_f1", figures.class_f1(records)) if records else "",
        "by_class": tables.by_class(study) if records else "",
        "questions": [
            {
                "asked": question.asked,
                "verdicts": sentences.verdicts(question),
                "table": tables.worths(study, question),
                "picture": picture(f"question_{question.name}", figures.differences(question.findings)),
            }
            for question in questions
        ],
        "orders": _orders(study, judged),
        "short": summary.of_study(study, questions),
    }


def _orders(study: Recorded, judged: worth.Judged) -> list[str]:
    """What became of the thesis's order: of all its entries, and of those that start from pretrained weights."""
    thesis = {
        name: record.thesis.macro_f1
        for name, record in study.classifiers.items()
        if record.thesis is not None and record.thesis.macro_f1 is not None
    }
    ours = {name: measures[worth.MACRO_F1] for name, measures in judged.items()}
    pretrained = {name: value for name, value in thesis.items() if not worth.from_random(study, name)}
    found = [
        (ordering.ordering(chosen, ours), words)
        for chosen, words in ((thesis, "All entries"), (pretrained, "Those alone that start from pretrained weights"))
    ]
    return [sentences.order(one, words) for one, words in found if one is not None]
