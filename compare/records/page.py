"""docs/results.md and its pictures, from the committed records alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compare.records import effects, figures, markdown
from compare.records.folds import folds
from compare.records.leakage import by_entry, leakages
from compare.records.rank_correlation import RankComparison, compare_ranks
from compare.records.record import RESULTS, ClassifierRecord
from compare.records.repeats import repeats
from compare.records.studies import StudyRecords, load_all, place
from lesions.files import atomic_write
from lesions.labels import NOTICE
from zoo.build.listing import describe_options, in_thesis_order
from zoo.kinds import Entry
from zoo.kinds.base import Thesis
from zoo.kinds.classifier import CLASSIFIER
from zoo.kinds.generator import GENERATOR
from zoo.study import default_study

PAGE = RESULTS.with_suffix(".md")
PICTURES = ("macro_f1", "class_f1", *(f"question_{name}" for name in effects.QUESTIONS))
"""The pictures of a study; other pictures beside its records are left alone."""
Row = tuple[str, Thesis | None, str, ClassifierRecord | None]
"""Of the table of scores: entry, the thesis on it, what differs, and the record, if there is one."""


def publish(root: Path, catalog: Mapping[str, Entry]) -> Path:
    """Write the page and its pictures from the records below `root`; return the page's file. Raises `RecordError`."""
    text, pictures = page(load_all(root / RESULTS), catalog)
    for name, content in pictures.items():
        atomic_write(root / RESULTS / name, content)
    for file in (root / RESULTS).glob("*/*.png"):
        if file.stem in PICTURES and f"{file.parent.name}/{file.name}" not in pictures:
            file.unlink()  # of a question that no entry answers any more
    atomic_write(root / PAGE, text)
    return root / PAGE


def page(studies: Sequence[StudyRecords], catalog: Mapping[str, Entry]) -> tuple[str, dict[str, bytes]]:
    """The page of `studies` in Markdown, and its pictures (PNG) by their place below the records' folder.

    The same studies and the same `catalog` give the same text. Raises `RecordError` where records that are to be
    compared are of different images.
    """
    catalog = in_thesis_order(catalog)
    repeated, leaks = repeats(studies), leakages(studies)
    repeating = {study.name for group in repeated for study in group.studies[1:]}
    of_folds = folds(studies)
    main = [study for study in studies if study.name not in repeating and study.settings.split == "lesion"]
    pictures: dict[str, bytes] = {}
    template = markdown.templates().get_template("page.md.j2")
    variables: dict[str, Any] = {
        "notice": NOTICE,
        "licenses": sorted({record.data_licence for study in studies for record in study.records.values()} - {None}),
        "main": [_study(study, catalog) | _analyses(study, pictures) for study in main],
        "folds": of_folds,
        "others": [_study(study, catalog, with_absent=False) for study in studies if study not in main],
        "repeated": repeated,
        "leaks": leaks,
        "leaks_by_entry": by_entry(leaks),
    }
    return template.render(variables), pictures


def _study(study: StudyRecords, catalog: Mapping[str, Entry], with_absent: bool = True) -> dict[str, Any]:
    """The template's variables for any study; `with_absent` gives classifiers of the thesis a row, trained or not."""
    rows: list[Row] = [(name, record.thesis, record.differs, record) for name, record in study.classifiers.items()]
    missing = {name: entry for name, entry in catalog.items() if name not in study.records}
    if with_absent:
        rows += [
            (name, entry.thesis, describe_options(entry), None)
            for name, entry in missing.items()
            if entry.kind == CLASSIFIER.name and entry.thesis is not None
        ]
    return {
        "records": study,
        "rows": sorted(rows, key=lambda row: place(row[0], row[1])),
        "options": _options(study, [name for name in study.records if name in catalog] if missing else []),
        "gone": [name for name in study.records if name not in catalog],
        "missing_generators": [name for name, entry in missing.items() if entry.kind == GENERATOR.name],
    }


def _options(study: StudyRecords, entries: Sequence[str]) -> str:
    """The options of the command `make zoo` that makes the study's records again: of `entries`; all, if empty."""
    settings = study.settings
    is_file = settings.weights != "imagenet"
    options = {} if settings.data == "phantom" else {"DATA": f"~/{settings.data}"}
    options |= {"SCALE": settings.scale, "WEIGHTS": f"~/{settings.weights}" if is_file else settings.weights}
    usual = default_study(settings.data, settings.scale, settings.split)
    for key in ("arch", "split", "seed", "generator_seed", "threads", "scc"):
        if (value := getattr(settings, key)) != getattr(usual, key):
            options[key.upper()] = value
    if settings.name != study.name:
        options["STUDY"] = study.name
    if entries:
        options["ENTRIES"] = f'"{" ".join(entries)}"'
    return " ".join(f"{key}={value}" for key, value in options.items())


def _analyses(study: StudyRecords, pictures: dict[str, bytes]) -> dict[str, Any]:
    """The further variables of a study that is shown in full; its pictures are added to `pictures`."""
    estimates = effects.estimate(study)
    questions = effects.by_question(study, estimates)
    by_name = {f"question_{name}": figures.differences(question) for name, question in questions.items()}
    if records := list(study.classifiers.values()):
        by_name |= {"macro_f1": figures.macro_f1(records), "class_f1": figures.class_f1(records)}
    pictures |= {f"{study.name}/{name}.png": content for name, content in by_name.items()}
    return {"questions": questions, "ranks": _ranks(study, estimates)}


def _ranks(study: StudyRecords, estimates: effects.Estimates) -> dict[str, RankComparison]:
    """How the thesis's order compares with ours: of all its entries, and of those that are pretrained."""
    thesis = {
        name: record.thesis.macro_f1
        for name, record in study.classifiers.items()
        if record.thesis is not None and record.thesis.macro_f1 is not None
    }
    ours = {name: measures[effects.MACRO_F1] for name, measures in estimates.items()}
    pretrained = {name: value for name, value in thesis.items() if not effects.from_random(study, name)}
    subjects = {"All entries": thesis, "Those alone that start from pretrained weights": pretrained}
    return {
        subject: comparison
        for subject, entries in subjects.items()
        if (comparison := compare_ranks(entries, ours)) is not None
    }
