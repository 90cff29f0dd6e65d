"""The champion: the version that answers where a call names none. A record says since when, and on what figures."""

import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from lesions.errors import UserError
from lesions.files import atomic_write

FILE = "champion.json"
"""Beside a study's archives: every champion there was, the present one last."""


class ChampionError(UserError):
    """A record that cannot be read, or an entry that cannot become champion; `str()` says why."""


class Evidence(BaseModel):
    """What a live experiment has shown of the champion."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    experiment: str
    reference: str
    """The version that it was compared with."""
    conclusion: str
    """In words: shown better."""
    metric: str
    difference: float | None
    """The metric less the reference's; none where too little was known."""
    difference_interval: tuple[float, float] | None
    """95 %, at every look (a confidence sequence)."""
    labeled: int
    """Answers with feedback."""


class Champion(BaseModel):
    """One entry's promotion, or its return."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    entry: str
    since: str
    """ISO 8601, UTC."""
    weights_sha256: str
    macro_f1: float | None
    """On the test split, as served; none where it was promoted unscored, by force."""
    macro_f1_interval: tuple[float, float] | None
    """95 %."""
    valid_macro_f1: float | None
    previous: str | None
    difference: float | None
    """The macro F1 less that of the previous champion, paired on the same images."""
    difference_interval: tuple[float, float] | None
    """95 %."""
    p: float | None
    forced: str | None
    """What spoke against it, if it was forced."""
    evidence: Evidence | None = None
    """Where it was promoted by an experiment; then what is of the test split may be none."""
    rolled_back: str | None = None
    """Why it came back in the place of `previous`; none of a promotion."""


_ALL: TypeAdapter[list[Champion]] = TypeAdapter(list[Champion])


def history(archives: Path) -> list[Champion]:
    """Every champion there was, the present one last. Raises `ChampionError` where the record is damaged."""
    file = archives / FILE
    try:
        return _ALL.validate_json(file.read_bytes())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ChampionError(f"{file}: {error.strerror}") from None
    except ValidationError:
        raise ChampionError(f"{file} is damaged; delete it, and promote again: make promote ENTRY=...") from None


def current(archives: Path) -> Champion | None:
    """The present champion, if there is one. Raises `ChampionError`."""
    return next(reversed(history(archives)), None)


def before(archives: Path) -> Champion | None:
    """The champion that a rollback brings back, as it was promoted; none where there is none.

    The last one of another entry. What was rolled back does not come back. Raises `ChampionError`.
    """
    promoted: list[Champion] = []
    for champion in history(archives):
        if champion.rolled_back is None:
            promoted.append(champion)
        else:
            while promoted and promoted[-1].entry != champion.entry:
                promoted.pop()
    return next((one for one in reversed(promoted) if one.entry != promoted[-1].entry), None)


def is_retrained(archives: Path, entry: str, weights_sha256: str) -> bool:
    """Whether an entry's archive now holds other weights, or there is none."""
    try:
        with zipfile.ZipFile(archives / f"{entry}.mar") as archive:
            return bool(json.loads(archive.read("entry.json"))["weights_sha256"] != weights_sha256)
    except (OSError, zipfile.BadZipFile, KeyError, ValueError):
        return True


def append(archives: Path, champion: Champion) -> None:
    """Make `champion` the present one. Raises `ChampionError`."""
    champions = [past.model_dump() for past in (*history(archives), champion)]
    atomic_write(archives / FILE, json.dumps(champions, indent=1) + "\n")


def now() -> str:
    """The time of a promotion."""
    return datetime.now(UTC).isoformat(timespec="seconds")
