"""Fetch HAM10000 from the Dataverse repository on which its authors published it.

Needed are three of the dataset's files: two zips of images and the table of metadata. pooch resolves the DOI, asks the
repository's API for the list of files, downloads each one beside its final name, verifies it and only then renames it.

Dataverse turns an uploaded CSV into a tab-separated file of its own making, lists that as `.tab`, but keeps publishing
the checksum of the upload (IQSS/dataverse, issues 5321 and 7275). Such a file is therefore asked for with
`?format=original`, the one rendition that the checksum fits.
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pooch
import requests
from pooch.downloaders import REQUESTS_HEADERS, DataverseRepository, doi_to_repository
from tqdm.auto import tqdm

from lesions.errors import UserError

LICENCE = """\
HAM10000: 10,015 dermatoscopic images of pigmented skin lesions, a download of about 2.8 GB.
License: CC BY-NC 4.0 (credit the authors, no commercial use); it binds whatever is trained on these images, too.
Cite: Tschandl P., Rosendahl C., Kittler H., "The HAM10000 dataset", Sci Data 5, 180161 (2018).
"""

# Saved as -> the names under which a listing may hold it.
WANTED = {
    "HAM10000_metadata.csv": ("HAM10000_metadata.tab", "HAM10000_metadata", "HAM10000_metadata.csv"),
    "HAM10000_images_part_1.zip": ("HAM10000_images_part_1.zip",),
    "HAM10000_images_part_2.zip": ("HAM10000_images_part_2.zip",),
}
SILENCE = 30  # seconds without a byte after which a connection counts as dead
CHUNK = 2**18  # bytes; at the default of 1 KiB pooch was three times slower (79 against 235 MiB/s, local server)


class DownloadError(UserError):
    """The data did not arrive. The message says why and what to do; no file is left half-written."""


@dataclass(frozen=True)
class PublishedFile:
    """One file as the repository lists it: the name to save it under, bytes, "algorithm:hex", and its address."""

    name: str
    size: int
    checksum: str
    url: str

    def is_in(self, folder: Path) -> bool:
        """Whether the folder holds this very file: the content is read and compared, not only the name."""
        path = folder / self.name
        algorithm, _, digest = self.checksum.partition(":")
        return path.exists() and bool(pooch.file_hash(str(path), alg=algorithm) == digest)


def fetch(folder: Path, doi: str = "10.7910/DVN/DBW86T") -> None:
    """Download HAM10000 into a folder, made if need be, after showing its license and size.

    Files that are there with the published checksum are kept as they are; others of the same name are replaced once
    the published ones have arrived whole. The metadata are always saved as `HAM10000_metadata.csv`, comma-separated.

    Raises DownloadError where there is no network, no such DOI, a wrong checksum, a broken transfer, too little disk.
    """
    print(LICENCE, flush=True)
    folder = folder.expanduser().resolve()
    by_hand = f"Or download {', '.join(WANTED)} by hand from https://doi.org/{doi} into {folder}."
    with _explained(f"The list of files of doi:{doi} cannot be had", by_hand):
        files = _published(doi)
    with _explained(f"{folder} cannot be used", "Choose another folder, or make this one readable."):
        missing = [file for file in files if not file.is_in(folder)]
        for file in files:
            kept = "already there" if file not in missing else "to be replaced: it differs from the published file"
            print(f"{file.name}  {file.size / 1e6:,.1f} MB  {kept if (folder / file.name).exists() else 'missing'}")
        _check_room(folder, sum(file.size for file in missing))
    for file in missing:
        again = f"Run the same command again: files that have arrived are kept. {by_hand}"
        with _explained(f"{file.name} did not arrive", again):
            _download(file, folder)
    print(f"HAM10000 is complete in {folder}", flush=True)


def _published(doi: str) -> list[PublishedFile]:
    """List the wanted files of the dataset behind a DOI, from its repository's API, in the order of `WANTED`."""
    try:
        repository = doi_to_repository(doi, headers=REQUESTS_HEADERS, timeout=SILENCE)
    except ValueError:  # pooch's way to say that the API answered with an error
        repository = None
    if not isinstance(repository, DataverseRepository):
        raise ValueError("the DOI leads to no Dataverse, or to one that is out of order; in that case try again later")
    listing = repository.api_response.json()["data"]["latestVersion"]["files"]
    listed: dict[str, dict[str, Any]] = {entry["dataFile"]["filename"]: entry["dataFile"] for entry in listing}
    files = []
    for name, aliases in WANTED.items():
        alias = next((alias for alias in aliases if alias in listed), None)
        if alias is None:
            raise ValueError(f"the dataset has no {' or '.join(aliases)}")
        entry = listed[alias]
        checksum = entry.get("checksum") or {"type": "MD5", "value": entry["md5"]}  # old installations: only md5
        ingested = "originalFileFormat" in entry
        files.append(
            PublishedFile(
                name=name,
                size=int(entry["originalFileSize"] if "originalFileSize" in entry else entry["filesize"]),
                checksum=f"{checksum['type'].replace('-', '')}:{checksum['value']}".lower(),  # SHA-256 -> sha256
                url=repository.download_url(alias) + ("?format=original" if ingested else ""),
            )
        )
    return files


def _check_room(folder: Path, needed: int) -> None:
    """Raise DownloadError where the disk under the folder, which may not exist yet, lacks the needed bytes.

    Raises NotADirectoryError where a file is in the folder's way.
    """
    ground = next(place for place in (folder, *folder.parents) if place.exists())
    if not ground.is_dir():
        raise NotADirectoryError(f"{ground} is a file, not a folder")
    free = shutil.disk_usage(ground).free
    if free < needed:
        raise DownloadError(
            f"Too little disk: HAM10000 needs {needed / 1e9:.2f} GB more in {folder}, and {free / 1e9:.2f} are free. "
            "Free some room or choose a folder on another disk; nothing was downloaded."
        )


def _download(file: PublishedFile, folder: Path) -> None:
    """Bring one file in, with a progress bar; pooch verifies a temporary file and renames it when it is whole."""
    store = pooch.create(path=folder, base_url="", registry={file.name: file.checksum}, urls={file.name: file.url})
    # A bar is false, and so ignored by pooch, while its total is 0.
    if not sys.stderr.isatty():  # a log has no use for a bar
        print(f"{file.name}: {file.size / 1e6:,.0f} MB", file=sys.stderr, flush=True)
    with tqdm(total=max(file.size, 1), desc=file.name, unit="B", unit_scale=True, disable=None) as bar:
        store.fetch(
            file.name,
            downloader=pooch.HTTPDownloader(
                progressbar=bar, chunk_size=CHUNK, headers=REQUESTS_HEADERS, timeout=SILENCE
            ),
        )
    (folder / file.name).chmod(0o644)  # pooch's temporary files are for their owner only, and so what they become


@contextmanager
def _explained(what: str, advice: str) -> Iterator[None]:
    """Turn what requests, pooch and the disk raise into a DownloadError: what failed, why, what to do."""
    try:
        yield
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else "unknown"
        reason = "there is no such DOI, or no such file behind it" if status == 404 else "the server refused"
        raise DownloadError(f"{what}: {reason} (HTTP status {status}). {advice}") from error
    except requests.exceptions.JSONDecodeError as error:
        raise DownloadError(f"{what}: the server did not answer with JSON, but maybe with a page. {advice}") from error
    except requests.RequestException as error:
        reason = f"the connection failed or broke off ({type(error).__name__}); are you online, is a proxy needed?"
        raise DownloadError(f"{what}: {reason} {advice}") from error
    except (KeyError, TypeError) as error:
        raise DownloadError(f"{what}: the server's answer has not the form of a Dataverse listing. {advice}") from error
    except (OSError, ValueError) as error:  # the disk; pooch's wrong checksum and unsupported repository
        raise DownloadError(f"{what}: {str(error).rstrip('.')}. {advice}") from error
