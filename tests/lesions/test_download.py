"""The real pooch over real HTTP, against a small local Dataverse: only the address of doi.org is exchanged."""

import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
import requests

from lesions.download import LICENCE, DownloadError, fetch

DOI = "10.7910/DVN/DBW86T"
CSV = b"lesion_id,image_id,dx\nHAM_0000118,ISIC_0027419,bkl\n"
TAB = b'lesion_id\timage_id\tdx\n"HAM_0000118"\t"ISIC_0027419"\t"bkl"\n'
PARTS = ("HAM10000_images_part_1.zip", "HAM10000_images_part_2.zip")
LAST = PARTS[1]


def zipped(name: str) -> bytes:
    """A zip of one small stand-in of an image, not compressible, of some 600 kB (more than one chunk)."""
    content = b"".join(hashlib.sha256(f"{name} {i}".encode()).digest() for i in range(20_000))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("ISIC_0027419.jpg", content)
    return buffer.getvalue()


FILES = {"HAM10000_metadata.csv": CSV, **{name: zipped(name) for name in PARTS}}


def listed(number: int, name: str, content: bytes) -> dict[str, Any]:
    """An entry of a Dataverse listing, in the form that IQSS/dataverse writes."""
    md5 = hashlib.md5(content).hexdigest()
    data_file = {
        "id": number,
        "persistentId": "",
        "filename": name,
        "contentType": "application/zip",
        "filesize": len(content),
        "storageIdentifier": f"s3://dvn-cloud:{number}",
        "rootDataFileId": -1,
        "md5": md5,
        "checksum": {"type": "MD5", "value": md5},
        "creationDate": "2018-06-04",
    }
    return {"label": name, "restricted": False, "version": 1, "datasetVersionId": 7, "dataFile": data_file}


def ingested(entry: dict[str, Any]) -> dict[str, Any]:
    """The same entry after Dataverse made a tab-separated file of it: the checksum stays that of the upload."""
    data_file = entry["dataFile"] | {
        "filename": "HAM10000_metadata.tab",
        "contentType": "text/tab-separated-values",
        "filesize": len(TAB),
        "originalFileFormat": "text/csv",
        "originalFormatLabel": "Comma Separated Values",
        "originalFileSize": entry["dataFile"]["filesize"],
        "originalFileName": "HAM10000_metadata.csv",
        "UNF": "UNF:6:jfeOjA2v8hQVmN9IXRYO6g==",
    }
    return entry | {"label": data_file["filename"], "dataFile": data_file}


class Dataverse(HTTPServer):
    """The stand-in: its listing and what it does wrong may be changed by a test."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.asked: list[str] = []
        self.entries = [listed(number, name, content) for number, (name, content) in enumerate(FILES.items())]
        self.entries[0] = ingested(self.entries[0])
        self.entries.append(listed(9, "ISIC2018_Task3_Test_Images.zip", b"not wanted"))
        self.api_status = 200
        self.file_status = 200
        self.api_answer: bytes | None = None
        self.corrupt = self.cut = False

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def downloads(self) -> list[str]:
        return [path for path in self.asked if path.startswith("/api/access/")]


class Answers(BaseHTTPRequestHandler):
    """What the stand-in answers: the landing page, the listing, and files by way of a redirect to storage."""

    server: Dataverse

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        path, query = urlsplit(self.path).path, urlsplit(self.path).query
        if path == f"/{DOI}":
            self.redirect(f"/citation?persistentId=doi:{DOI}")
        elif path == "/citation":
            self.answer(b"<html>HAM10000</html>")
        elif path == "/api/datasets/:persistentId" and query == f"persistentId=doi:{DOI}":
            listing = {"status": "OK", "data": {"id": 1, "latestVersion": {"files": self.server.entries}}}
            self.answer(self.server.api_answer or json.dumps(listing).encode(), self.server.api_status)
        elif path.startswith("/api/access/datafile/"):
            self.redirect(f"/storage/{path.rpartition('/')[2]}?{query}")
        elif path.startswith("/storage/"):
            self.file(int(path.rpartition("/")[2]), original="format=original" in query)
        else:
            self.answer(b"<html>not found</html>", 404)

    def file(self, number: int, original: bool) -> None:
        name = list(FILES)[number]
        content = FILES[name]
        if "originalFileFormat" in self.server.entries[number]["dataFile"] and not original:
            content = TAB
        if name == LAST and self.server.corrupt:
            content = content[:-1] + b"!"
        self.answer(content, self.server.file_status, cut=name == LAST and self.server.cut)

    def redirect(self, path: str) -> None:
        self.send_response(303)
        self.send_header("Location", path)
        self.end_headers()

    def answer(self, content: bytes, status: int = 200, cut: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on stderr."""


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
    assert LICENCE in shown[0]
    assert "CC BY-NC 4.0" in LICENCE
    assert "2.8 GB" in LICENCE


def test_what_is_there_is_not_downloaded_again(dataverse: Dataverse, tmp_path: Path) -> None:
    fetch(tmp_path)
    dataverse.asked.clear()
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
    entry = listed(0, listing.filename, CSV)
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
    dataverse.api_answer = answer
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
