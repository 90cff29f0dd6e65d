"""Archives as nodes get them: by content, from a shared folder or an fsspec URL, into a cache."""

import hashlib
import os
import tempfile
from collections.abc import Collection
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, NamedTuple

import fsspec

from lesions.errors import UserError
from lesions.files import file_lock, sha256
from zoo.packaging import manifest

BLOCK = 2**20


class FetchError(UserError):
    """An archive that cannot be had, or is not the one that is wanted."""


class Archive(NamedTuple):
    """One archive, wherever a node finds it."""

    source: str
    """A folder, or a URL as fsspec has them: s3://bucket/zoo, https://models/zoo."""
    file: str
    """Its name there."""
    sha256: str
    """Of its content (hex)."""
    cache: str = ""
    """The folder that it is kept in; empty: the user's cache of the node."""

    @property
    def url(self) -> str:
        """Where it is fetched."""
        return f"{self.source.rstrip('/')}/{self.file}"


def fetch(archive: Archive) -> Path:
    """The archive as a file of this node, by its digest; fetched unless it is there. Raises `FetchError`."""
    folder = Path(archive.cache) if archive.cache else user_cache()
    target = folder / f"{archive.sha256}.mar"
    try:
        with file_lock(target):  # replicas of one node start side by side
            if not target.exists() or sha256(target) != archive.sha256:  # a disk may have lost some of it
                _download(archive, target)
    except FetchError:
        raise
    except Exception as error:  # fsspec's file systems have errors of their own, as aiohttp's
        raise FetchError(f"{archive.url} cannot be fetched ({type(error).__name__}: {error!s:.200})") from None
    return target


def _download(archive: Archive, target: Path) -> None:
    """Write it beside `target`, and rename it if it is the one that is wanted."""
    digest = hashlib.sha256()
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{archive.sha256[:12]}-")
    try:
        with os.fdopen(descriptor, "wb") as aside, _opened(archive.url) as content:
            while block := content.read(BLOCK):
                digest.update(block)
                aside.write(block)
        if digest.hexdigest() != archive.sha256:
            raise FetchError(
                f"{archive.url} has sha256 {digest.hexdigest()[:12]}..., not {archive.sha256[:12]}...: it was changed, "
                "or is another study's; let the source have what make serve names"
            )
        Path(name).replace(target)
    finally:
        Path(name).unlink(missing_ok=True)


def listed(source: str, entries: Collection[str] | None) -> dict[str, Archive]:
    """The archives of a source by entry, all or some, as its manifest names them. Raises `FetchError`."""
    url = f"{source.rstrip('/')}/{manifest.FILE}"
    try:
        with _opened(url) as content:
            known = manifest.digests(content.read())
    except Exception as error:
        raise FetchError(f"{url} cannot be fetched ({type(error).__name__}: {error!s:.200})") from None
    archives = {Path(file).stem: Archive(source, file, digest) for file, digest in known.items()}
    wanted = list(archives) if entries is None else list(entries)
    if lacking := [name for name in wanted if name not in archives]:
        raise FetchError(f"{url} does not list {', '.join(lacking)}; it lists: {', '.join(archives) or 'nothing'}")
    if not wanted:
        raise FetchError(f"{url} lists no archive: make zoo writes it, beside them")
    return {name: archives[name] for name in wanted}


def _opened(url: str) -> AbstractContextManager[IO[bytes]]:
    """A file of a folder as it is, since fsspec reads meaning into a `*` or a `::` of its path; else by fsspec."""
    if "://" not in url:
        return Path(url).open("rb")
    opened: AbstractContextManager[IO[bytes]] = fsspec.open(url, "rb")
    return opened


def user_cache() -> Path:
    """Where this user's archives are kept on this node; it may be deleted at any time."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "lesion-zoo" / "archives"
