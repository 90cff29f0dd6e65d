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


class Champion(BaseModel):
    """One entry's promotion."""

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


_ALL: TypeAdapter[list[Champion]] = TypeAdapter(list[Champion])


def history(archives: Path) -> list[Champion]:
    """Every champion there was, the present one last. Raises `ChampionError` where the record is damaged."""
    file = archives / FILE
    try:
        return _ALL.validate_json(file.read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, ValidationError):
        raise ChampionError(f"{file} is damaged; delete it, and promote again: make promote ENTRY=...") from None


def current(archives: Path) -> Champion | None:
    """The present champion, if there is one. Raises `ChampionError`."""
    return next(reversed(history(archives)), None)


def is_retrained(archives: Path, champion: Champion) -> bool:
    """Whether the champion's archive now holds other weights than those that were promoted."""
    try:
        with zipfile.ZipFile(archives / f"{champion.entry}.mar") as archive:
            return bool(json.loads(archive.read("entry.json"))["weights_sha256"] != champion.weights_sha256)
    except (OSError, zipfile.BadZipFile, KeyError, ValueError):
        return True


def append(archives: Path, champion: Champion) -> None:
    """Make `champion` the present one. Raises `ChampionError`."""
    champions = [past.model_dump() for past in (*history(archives), champion)]
    atomic_write(archives / FILE, json.dumps(champions, indent=1) + "\n")


def now() -> str:
    """The time of a promotion."""
    return datetime.now(UTC).isoformat(timespec="seconds")
