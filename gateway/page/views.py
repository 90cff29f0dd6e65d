"""What the page shows, as HTML: of answers of the runtime. Everything in it is escaped."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gateway.page import words

FILES = Path(__file__).parent / "files"
_TEMPLATES = Environment(
    loader=FileSystemLoader(FILES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_TEMPLATES.globals.update(named=words.named, percent=words.percent)


class Answered(NamedTuple):
    """What one version says of a picture."""

    version: str
    default: bool
    answer: Mapping[str, Any]
    """As `lesion_classifier` answers."""
    entry: Mapping[str, Any]
    """Its `entry.json`, as far as it is known."""


def answers(answered: Sequence[Answered]) -> str:
    """Versions side by side, each with bars."""
    rows = [
        {
            "version": one.version,
            "default": one.default,
            "label": one.answer["label"],
            "bars": sorted(one.answer["probabilities"].items(), key=lambda item: -item[1]),
            "words": [words.how_sure(one.answer["probabilities"]), *words.how_well(one.entry, one.answer["label"])],
            "notice": one.answer["notice"],
        }
        for one in answered
    ]
    return _TEMPLATES.get_template("answers.html.j2").render(rows=rows)


def explanation(version: str, answer: Mapping[str, Any]) -> str:
    """The picture with Grad-CAM on it."""
    return _TEMPLATES.get_template("explanation.html.j2").render(version=version, answer=answer, label=answer["class"])


def synthetic(generator: str, answer: Mapping[str, Any]) -> str:
    """A grid of synthetic images."""
    return _TEMPLATES.get_template("synthetic.html.j2").render(generator=generator, answer=answer)


def problem(message: str) -> str:
    """An error, for people; nothing where there is none."""
    return _TEMPLATES.get_template("problem.html.j2").render(message=message)
