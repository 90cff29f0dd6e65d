"""The real pooch over real HTTP, against a small local Dataverse; only the address of doi.org is replaced."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import pytest
import requests

from lesions.download import LICENSE, DownloadError, fetch
from tests.lesions.dataverse import CSV, FILES, LAST, PARTS, Dataverse, listing_entry


@pytest.fixture
def dataverse(monkeypatch: pytest.MonkeyPatch) -> Iterator[Dataverse]:
    server = Dataverse()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    real_get = requests.get

    def get(url: str, **options: Any) -> requests.Response:
        url = url.replace("https://doi.org", server.base)
        assert url.startswith(server.base), f"a request left this machine: {url}"
        return real_get(url, **options)

    monkeypatch.setattr(requests, "get", get)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def test_everything_arrives(dataverse: Dataverse, tmp_path: Path) -> None:
    fetch(tmp_path / "new" / "ham10000")
    assert contents(tmp_path / "new" / "ham10000") == FILES
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "new" / "ham10000").iterdir()} == {0o644}
    assert len(dataverse.downloads) == 3


def test_license_and_size_come_before_the_first_request(
    dataverse: Dataverse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[str] = []
    inner = requests.get

    def get(url: str, **options: Any) -> requests.Response:
        shown.append(capsys.readouterr().out)
        return inner(url, **options)

    monkeypatch.setattr(requests, "get", get)
    fetch(tmp_path)
    assert LICENSE in shown[0]
    assert "CC BY-NC 4.0" in LICENSE
    assert "2.8 GB" in LICENSE


def test_what_is_there_is_not_downloaded_again(dataverse: Dataverse, tmp_path: Path) -> None:
    fetch(tmp_path)
    dataverse.requests.clear()
    fetch(tmp_path)
    assert dataverse.downloads == []
    (tmp_path / LAST).write_bytes(b"something else")
    fetch(tmp_path)
    assert dataverse.downloads == ["/api/access/datafile/2"]
    assert contents(tmp_path) == FILES


class Listing(NamedTuple):
    """How the metadata are listed where Dataverse did not ingest them."""

    filename: str
    checksum: dict[str, str] | None


@pytest.mark.parametrize(
    "listing",
    [
        Listing("HAM10000_metadata", {"type": "SHA-256", "value": hashlib.sha256(CSV).hexdigest()}),
        Listing("HAM10000_metadata.csv", None),
    ],
    ids=lambda listing: listing.filename,
)
def test_metadata_that_dataverse_left_as_they_were(dataverse: Dataverse, tmp_path: Path, listing: Listing) -> None:
    entry = listing_entry(0, listing.filename, CSV)
    del entry["dataFile"]["checksum"]
    if listing.checksum:
        del entry["dataFile"]["md5"]  # so do installations that do not use MD5
        entry["dataFile"]["checksum"] = listing.checksum
    dataverse.entries[0] = entry
    fetch(tmp_path)
    assert contents(tmp_path) == FILES
    assert not any("format=original" in path for path in dataverse.downloads)


def test_a_wrong_checksum(dataverse: Dataverse, tmp_path: Path) -> None:
    dataverse.corrupt = True
    with pytest.raises(DownloadError, match=f"{LAST} did not arrive: MD5 hash .* does not match .* Run the same"):
        fetch(tmp_path)
    assert set(contents(tmp_path)) == set(FILES) - {LAST}
    dataverse.corrupt = False
    fetch(tmp_path)
    assert dataverse.downloads.count("/api/access/datafile/2") == 2
    assert len(dataverse.downloads) == 4
    assert contents(tmp_path) == FILES


def test_a_wrong_checksum_spares_what_was_there(dataverse: Dataverse, tmp_path: Path) -> None:
    dataverse.corrupt = True
    (tmp_path / LAST).write_bytes(b"mine")
    with pytest.raises(DownloadError):
        fetch(tmp_path)
    assert contents(tmp_path)[LAST] == b"mine"


def test_a_transfer_that_breaks_off(dataverse: Dataverse, tmp_path: Path) -> None:
    dataverse.cut = True
    with pytest.raises(DownloadError, match="broke off"):
        fetch(tmp_path)
    assert set(contents(tmp_path)) == set(FILES) - {LAST}


def test_no_server(dataverse: Dataverse, tmp_path: Path) -> None:
    dataverse.shutdown()
    dataverse.server_close()
    with pytest.raises(DownloadError, match=r"are you online.* by hand from https://doi\.org/10\.7910/DVN/DBW86T into"):
        fetch(tmp_path)
    assert contents(tmp_path) == {}


def test_a_server_out_of_order(dataverse: Dataverse, tmp_path: Path) -> None:
    dataverse.api_status = 500
    with pytest.raises(DownloadError, match="out of order"):
        fetch(tmp_path)
    dataverse.api_status, dataverse.file_status = 200, 500
    with pytest.raises(DownloadError, match=r"HAM10000_metadata.csv did not arrive: .* \(HTTP status 500\)"):
        fetch(tmp_path)
    assert contents(tmp_path) == {}


def test_an_unknown_doi(dataverse: Dataverse, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="no such DOI"):
        fetch(tmp_path, doi="10.7910/DVN/NOSUCH")


@pytest.mark.parametrize(
    ("answer", "message"),
    [(b"<html>please log in</html>", "JSON"), (b'{"status": "OK", "data": {}}', "form of a Dataverse listing")],
)
def test_an_answer_that_is_no_listing(dataverse: Dataverse, tmp_path: Path, answer: bytes, message: str) -> None:
    dataverse.api_body = answer
    with pytest.raises(DownloadError, match=message):
        fetch(tmp_path)


def test_a_dataset_without_the_files(dataverse: Dataverse, tmp_path: Path) -> None:
    del dataverse.entries[1]
    with pytest.raises(DownloadError, match=f"the dataset has no {PARTS[0]}"):
        fetch(tmp_path)
    assert dataverse.downloads == []


def test_too_little_disk(dataverse: Dataverse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = sum(map(len, FILES.values()))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(needed, 1, needed - 1))
    with pytest.raises(DownloadError, match="Too little disk"):
        fetch(tmp_path / "new")
    assert dataverse.downloads == []
    assert not (tmp_path / "new").exists()


def test_what_is_there_needs_no_room(dataverse: Dataverse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 0))
    fetch(tmp_path)


def test_a_folder_that_is_a_file(dataverse: Dataverse, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DownloadError, match="not a folder"):
        fetch(tmp_path / "file")
    assert dataverse.downloads == []
