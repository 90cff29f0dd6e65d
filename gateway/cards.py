"""Model cards, as the served archives have them."""

import zipfile
from pathlib import Path

from starlette.concurrency import run_in_threadpool

CARD = "MODEL_CARD.md"
"""In each archive."""


async def read(archives: Path, name: str) -> str | None:
    """The model card (Markdown) of an entry whose archive is in a folder; none where it has none.

    `name` must be that of an entry, not a path.
    """
    try:
        return await run_in_threadpool(_member, archives / f"{name}.mar")
    except (OSError, KeyError, zipfile.BadZipFile):
        return None


def _member(archive: Path) -> str:
    with zipfile.ZipFile(archive) as opened:
        return opened.read(CARD).decode()
