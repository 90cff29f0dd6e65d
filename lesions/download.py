"""Download HAM10000 from the Dataverse repository on which its authors published it.

Three files are needed: two zips of images and the table of metadata. pooch resolves the DOI, gets the list of files
from the repository's API, downloads each file under a temporary name, verifies it and only then renames it.

Dataverse turns an uploaded CSV into a tab-separated file and lists it as `.tab`, but still publishes the checksum of
the upload (IQSS/dataverse, issues 5321 and 7275). Such a file is requested with `?format=original`, the only form that
has this checksum.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pooch
import requests
from pooch.core import download_action
from pooch.downloaders import REQUESTS_HEADERS, DataverseRepository, doi_to_repository

from lesions.errors import UserError
from lesions.files import free_space

LICENSE = """\
HAM10000: 10,015 dermatoscopic images of pigmented skin lesions, a download of about 2.8 GB.
License: CC BY-NC 4.0 (credit the authors, no commercial use); it binds whatever is trained on these images, too.
Cite: Tschandl P., Rosendahl C., Kittler H., "The HAM10000 dataset", Sci Data 5, 180161 (2018).
"""

# The name of each file on disk, and its possible names in the list (the last is Dataverse's tab-separated copy).
METADATA = ("HAM10000_metadata.csv", "HAM10000_metadata", "HAM10000_metadata.tab")
FILES = {names[0]: names for names in (METADATA, ("HAM10000_images_part_1.zip",), ("HAM10000_images_part_2.zip",))}
# The state of a file, by the action that it needs.
STATES = {"download": "missing", "update": "to be replaced: differs from the published file", "fetch": "already there"}
TIMEOUT = 30  # seconds without a byte after which a connection counts as dead
CHUNK = 2**18  # bytes; at the default of 1 KiB pooch was three times slower (79 against 235 MiB/s, local server)


class DownloadError(UserError):
    """The data cannot be downloaded. The message says why and what to do; no file is left half-written."""


class PublishedFile(NamedTuple):
    """A file in the repository's list: its name on disk, size in bytes, checksum (`algorithm:hex`) and URL."""

    name: str
    size: int
    checksum: str
    url: str


def fetch(folder: Path, doi: str = "10.7910/DVN/DBW86T") -> None:
    """Download HAM10000 into a folder, which is made if it is not there; print the license and the size first.

    A file that is there with the published checksum is kept. Another file of the same name is replaced when the
    published one is complete. The metadata are always saved as `HAM10000_metadata.csv`, comma-separated.

    Raises DownloadError where there is no network, no such DOI, a wrong checksum, a broken transfer, too little disk.
    """
    print(LICENSE, flush=True)
    folder = folder.expanduser().resolve()
    by_hand = f"Or download {', '.join(FILES)} by hand from https://doi.org/{doi} into {folder}."
    with _download_errors(f"The list of files of doi:{doi} cannot be had", by_hand):
        files = _published_files(doi)
    with _download_errors(f"{folder} cannot be used", "Choose another folder, or make this one readable."):
        actions = {file: download_action(folder / file.name, file.checksum)[0] for file in files}
        for file, action in actions.items():
            print(f"{file.name}  {file.size / 1e6:,.1f} MB  {STATES[action]}")
        missing = [file for file, action in actions.items() if action != "fetch"]
        needed, free = sum(file.size for file in missing), free_space(folder)
    if free < needed:
        raise DownloadError(
            f"Too little disk: HAM10000 needs {needed / 1e9:.2f} GB more in {folder}, and {free / 1e9:.2f} are free. "
            "Free some room or choose a folder on another disk; nothing was downloaded."
        )
    for name, size, checksum, url in missing:
        retry = f"Run the same command again: files that have arrived are kept. {by_hand}"
        with _download_errors(f"{name} did not arrive", retry):
            print(f"{name}: {size / 1e6:,.0f} MB", file=sys.stderr, flush=True)
            bar = sys.stderr.isatty()  # a log has no use for a bar
            downloader = pooch.HTTPDownloader(bar, chunk_size=CHUNK, headers=REQUESTS_HEADERS, timeout=TIMEOUT)
            pooch.retrieve(url, checksum, fname=name, path=folder, downloader=downloader)
            (folder / name).chmod(0o644)  # pooch makes temporary files for their owner only
    print(f"HAM10000 is complete in {folder}", flush=True)


def _published_files(doi: str) -> list[PublishedFile]:
    """The files of the data set behind a DOI, from its repository's API, in the order of `FILES`."""
    try:
        repository = doi_to_repository(doi, headers=REQUESTS_HEADERS, timeout=TIMEOUT)
    except ValueError:  # so pooch reports that the API answered with an error
        repository = None
    if not isinstance(repository, DataverseRepository):
        raise ValueError("the DOI leads to no Dataverse, or to one that is out of order; in that case try again later")
    items = repository.api_response.json()["data"]["latestVersion"]["files"]
    by_name: dict[str, dict[str, Any]] = {item["dataFile"]["filename"]: item["dataFile"] for item in items}
    files = []
    for name, aliases in FILES.items():
        alias = next((alias for alias in aliases if alias in by_name), None)
        if alias is None:
            raise ValueError(f"the dataset has no {' or '.join(aliases)}")
        item = by_name[alias]
        checksum = item.get("checksum") or {"type": "MD5", "value": item["md5"]}  # old installations: only md5
        algorithm = checksum["type"].replace("-", "")  # SHA-256 -> SHA256
        url = repository.download_url(alias) + ("?format=original" if "originalFileFormat" in item else "")
        size = int(item.get("originalFileSize", item["filesize"]))
        files.append(PublishedFile(name, size, f"{algorithm}:{checksum['value']}".lower(), url))
    return files


@contextmanager
def _download_errors(failure: str, advice: str) -> Iterator[None]:
    """Turn the errors of requests, pooch and the disk into a DownloadError: what failed, why, what to do."""
    try:
        yield
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else "unknown"
        reason = "there is no such DOI, or no such file behind it" if status == 404 else "the server refused"
        raise DownloadError(f"{failure}: {reason} (HTTP status {status}). {advice}") from error
    except requests.exceptions.JSONDecodeError as error:
        raise DownloadError(f"{failure}: the answer is not JSON, but maybe a page. {advice}") from error
    except requests.RequestException as error:
        reason = f"the connection failed or broke off ({type(error).__name__}); are you online, is a proxy needed?"
        raise DownloadError(f"{failure}: {reason} {advice}") from error
    except (KeyError, TypeError) as error:
        raise DownloadError(f"{failure}: the answer has not the form of a Dataverse listing. {advice}") from error
    except (OSError, ValueError) as error:  # the disk; pooch's wrong checksum and unsupported repository
        raise DownloadError(f"{failure}: {str(error).rstrip('.')}. {advice}") from error
