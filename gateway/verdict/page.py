"""An experiment's page, which needs no other file, and its table for a terminal."""

import shlex
from datetime import UTC, datetime
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from compare import report
from gateway.verdict import figures
from gateway.verdict.answers import Answers
from gateway.verdict.estimates import Estimate
from gateway.verdict.metrics import METRICS
from gateway.verdict.metrics import in_words as metric_in_words
from gateway.verdict.sides import Arm, asked
from gateway.verdict.verdict import Comparison, Verdict, in_words
from lesions.files import atomic_write
from lesions.labels import CLASSES, NOTICE
from lesions.sources.left_out import counted
from zoo.packaging import card
from zoo.study import Folders

FOLDER = "experiments"
"""Below a study's folder of reports."""


def page(verdict: Verdict, answers: Answers, folders: Folders) -> Path:
    """Write `NAME.html` and `NAME.json` below the study's reports; returns the page."""
    experiment, folder = verdict.experiment, folders.reports / FOLDER
    by_arm = {arm.name: asked(answers, arm.name, arm.shadow) for arm in verdict.arms}
    text = card.template(Path(__file__).with_name("page.html.j2"), autoescape=True).render(
        verdict=verdict,
        experiment=experiment,
        style=Path(report.__file__).with_name("page.css").read_text(encoding="utf-8"),
        notice=NOTICE,
        classes=CLASSES,
        metrics=list(METRICS),
        names={metric: metric_in_words(metric) for metric in METRICS},
        words={one.arm: in_words(one.conclusion, experiment.smallest_difference) for one in verdict.comparisons},
        started=_minute(experiment.started),
        ended=None if experiment.ended is None else _minute(experiment.ended),
        sequences=figures.sequences(experiment, answers, verdict.comparisons),
        dots=figures.metrics(verdict.arms),
        labels=figures.labels(verdict.arms),
        latencies=figures.latencies(by_arm),
        reliability={name: url for name, one in by_arm.items() if (url := figures.reliability(one))},
        promote=shlex.join(["make", "promote", f"EXPERIMENT={experiment.name}", f"STUDY={verdict.study}"]),
    )
    atomic_write(folder / f"{experiment.name}.json", verdict.model_dump_json(indent=1) + "\n")
    atomic_write(folder / f"{experiment.name}.html", text)
    return folder / f"{experiment.name}.html"


def table(verdict: Verdict) -> Table:
    """The verdict for a terminal."""
    experiment = verdict.experiment
    title = f"{experiment.name}: {counted(verdict.answers, 'answer')} since {_minute(experiment.started)}"
    rows = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    rows.add_column("arm", no_wrap=True)
    metric = metric_in_words(experiment.metric)
    for heading in ("share", "answers", "errors", "p50 ms", "feedback", metric, f"less {experiment.reference}"):
        rows.add_column(heading, justify="right")
    rows.add_column("verdict")
    for arm in verdict.arms:
        comparison = verdict.comparison(arm.name)
        rows.add_row(
            arm.name,
            "shadow" if arm.share is None else f"{arm.share:.0%}",
            f"{arm.answers:,}",
            f"{arm.errors:,}",
            "" if arm.latency_p50_ms is None else f"{arm.latency_p50_ms:.0f}",
            "" if arm.feedback is None else f"{arm.feedback:.0%}",
            _ranged(arm.metrics[experiment.metric], "{:.3f}"),
            _ranged(comparison.differences[experiment.metric], "{:+.3f}") if comparison else "",
            _concluded(verdict, arm, comparison),
        )
    return rows


def _ranged(estimate: Estimate | None, form: str) -> str:
    if estimate is None:
        return ""
    return f"{form.format(estimate.value)} ({' to '.join(form.format(bound) for bound in estimate.interval)})"


def _concluded(verdict: Verdict, arm: Arm, comparison: Comparison | None) -> str:
    """The verdict on an arm, and what is still needed for one."""
    if comparison is None:
        return "reference"
    words = in_words(comparison.conclusion, verdict.experiment.smallest_difference)
    if lacking := comparison.missing.get(verdict.experiment.metric):
        return f"{words}: {lacking}"
    more = comparison.more_answers
    return words if more is None else f"{words}: about {more:,} more with feedback"


def _minute(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
