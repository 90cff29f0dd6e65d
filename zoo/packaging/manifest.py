"""The manifest of a study's archives: what `make zoo` packed, by sha256, and so what `make serve` may load.

An archive is code that the server runs. The manifest finds one that was damaged, exchanged or added since. It does not
stop a person who can write the manifest as well.
"""

import json
import os
from collections.abc import Collection
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

from lesions.files import atomic_write, file_lock, sha256

FILE = "manifest.json"
"""Beside the archives: the sha256 (hex) of each, by file name."""


class Verified(NamedTuple):
    """An archive that is there."""

    sha256: str
    problem: str
    """Why it must not be loaded; empty if it may be."""


def install(packed: Path, archive: Path) -> None:
    """Rename `packed` to `archive` and note its digest: no check sees the one without the other.

    A process that is killed between the two leaves the old archive, refused and older than what it is made of: make
    packs it again.
    """
    file = archive.with_name(FILE)
    with file_lock(file):
        known = {name: digest for name, digest in _read(file).items() if archive.with_name(name).exists()}
        atomic_write(file, json.dumps(known | {archive.name: sha256(packed)}, indent=1, sort_keys=True) + "\n")
        packed.replace(archive)


def verify(archives: Path) -> dict[str, Verified]:
    """Every .mar in the folder `archives`, by file name in order, and whether it is what `install` put there."""
    if not archives.is_dir():
        return {}
    # Where nothing can be written, as in a container, nobody packs, and there is nothing to wait for.
    with file_lock(archives / FILE) if os.access(archives, os.W_OK) else nullcontext():
        known = _read(archives / FILE)
        return {file.name: _verified(file, known.get(file.name)) for file in sorted(archives.glob("*.mar"))}


def remove_untrusted(archives: Path, entries: Collection[str]) -> list[str]:
    """Delete the archives of `entries` that would be refused, so that make packs them again. Returns messages."""
    untrusted = [name for name, archive in verify(archives).items() if archive.problem and Path(name).stem in entries]
    for name in untrusted:
        (archives / name).unlink(missing_ok=True)
    return [f"{archives / name} is not what `make zoo` packed: packing it again" for name in untrusted]


def _verified(file: Path, known: str | None) -> Verified:
    digest, again = sha256(file), f"make zoo STUDY={file.parent.name} ENTRIES={file.stem}"
    if known is None:
        problem = f"not loaded: {file} is not in {FILE}, so `make zoo` did not pack it; delete it, or: {again}"
    elif digest != known:
        digests = f"sha256 {digest[:12]}..., not {known[:12]}..."
        problem = f"not loaded: {file} was changed since `make zoo` packed it ({digests}); pack it again: {again}"
    else:
        problem = ""
    return Verified(digest, problem)


def _read(file: Path) -> dict[str, str]:
    """The digests by file name; none if the manifest is missing or damaged: then every archive is packed again."""
    try:
        return digests(file.read_bytes())
    except OSError:
        return {}


def digests(manifest: bytes) -> dict[str, str]:
    """The sha256 (hex) of each archive by file name, as the content of `FILE` says; none where it is damaged."""
    try:
        content = json.loads(manifest)
    except ValueError:
        return {}
    pairs = content.items() if isinstance(content, dict) else ()
    return {name: digest for name, digest in pairs if isinstance(digest, str)}
