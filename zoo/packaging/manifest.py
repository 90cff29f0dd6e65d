"""The manifest of a study's archives: what `make zoo` packed, by sha256, and so what `make serve` may load.

A .mar is code that TorchServe runs. The manifest finds one that was damaged, exchanged or added since; whoever can
write the manifest as well is not kept out.
"""

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from lesions.files import atomic_write, file_lock

FILE = "manifest.json"
"""Beside the archives: the sha256 (hex) of each, by file name."""


class Verified(NamedTuple):
    """An archive that is there."""

    sha256: str
    trouble: str
    """Why it may not be loaded; empty if it may."""


def install(packed: Path, archive: Path) -> None:
    """Rename `packed` to `archive` and note its digest: no check sees the one without the other.

    A process that is killed between the two leaves the old archive, refused and older than what it is made of: make
    packs it again.
    """
    file = archive.with_name(FILE)
    with file_lock(file):
        known = {name: digest for name, digest in _read(file).items() if archive.with_name(name).exists()}
        atomic_write(file, json.dumps(known | {archive.name: _digest(packed)}, indent=1, sort_keys=True) + "\n")
        packed.replace(archive)


def verify(archives: Path) -> dict[str, Verified]:
    """Every .mar in the folder `archives`, by file name in order, and whether it is what `install` put there."""
    if not archives.is_dir():
        return {}
    with file_lock(archives / FILE):
        known = _read(archives / FILE)
        return {file.name: _checked(file, known.get(file.name)) for file in sorted(archives.glob("*.mar"))}


def remove_untrusted(archives: Path, entries: Collection[str]) -> list[str]:
    """Delete the archives of `entries` that would be refused, so that make packs them again; says which, and why."""
    troubled = [name for name, checked in verify(archives).items() if checked.trouble and Path(name).stem in entries]
    for name in troubled:
        (archives / name).unlink(missing_ok=True)
    return [f"{archives / name} is not what `make zoo` packed: packing it again" for name in troubled]


def _checked(file: Path, known: str | None) -> Verified:
    digest, again = _digest(file), f"make zoo STUDY={file.parent.name} ENTRIES={file.stem}"
    if known is None:
        trouble = f"not loaded: {file} is not in {FILE}, so `make zoo` did not pack it; delete it, or: {again}"
    elif digest != known:
        said = f"sha256 {digest[:12]}..., not {known[:12]}..."
        trouble = f"not loaded: {file} was changed since `make zoo` packed it ({said}); pack it again: {again}"
    else:
        trouble = ""
    return Verified(digest, trouble)


def _read(file: Path) -> dict[str, str]:
    """What the manifest says; nothing if it is not there or damaged, and then every archive is packed again."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    pairs = found.items() if isinstance(found, dict) else ()
    return {name: digest for name, digest in pairs if isinstance(digest, str)}


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
