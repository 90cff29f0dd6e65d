"""A small local Dataverse: a landing page, a listing and files, with faults that tests switch on."""

import hashlib
import io
import json
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import urlsplit

DOI = "10.7910/DVN/DBW86T"
CSV = b"lesion_id,image_id,dx\nHAM_0000118,ISIC_0027419,bkl\n"
TAB = b'lesion_id\timage_id\tdx\n"HAM_0000118"\t"ISIC_0027419"\t"bkl"\n'
PARTS = ("HAM10000_images_part_1.zip", "HAM10000_images_part_2.zip")
LAST = PARTS[1]


def zipped(name: str) -> bytes:
    """A zip with one file that cannot be compressed, of about 600 kB (more than one chunk)."""
    content = b"".join(hashlib.sha256(f"{name} {i}".encode()).digest() for i in range(20_000))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("ISIC_0027419.jpg", content)
    return buffer.getvalue()


FILES = {"HAM10000_metadata.csv": CSV, **{name: zipped(name) for name in PARTS}}


def listing_entry(number: int, name: str, content: bytes) -> dict[str, Any]:
    """An entry of a Dataverse listing, as IQSS/dataverse writes it."""
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
    """The same entry after Dataverse turned it into a tab-separated file: the checksum is still that of the upload."""
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
    """The server. Tests change its listing and its faults."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[str] = []
        self.entries = [listing_entry(number, name, content) for number, (name, content) in enumerate(FILES.items())]
        self.entries[0] = ingested(self.entries[0])
        self.entries.append(listing_entry(9, "ISIC2018_Task3_Test_Images.zip", b"not wanted"))
        self.api_status = 200
        self.file_status = 200
        self.api_body: bytes | None = None
        self.corrupt = self.cut = False

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def downloads(self) -> list[str]:
        return [path for path in self.requests if path.startswith("/api/access/")]


class Handler(BaseHTTPRequestHandler):
    """Responses: the landing page, the listing, and files after a redirect to storage."""

    server: Dataverse

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        path, query = urlsplit(self.path).path, urlsplit(self.path).query
        if path == f"/{DOI}":
            self.redirect(f"/citation?persistentId=doi:{DOI}")
        elif path == "/citation":
            self.respond(b"<html>HAM10000</html>")
        elif path == "/api/datasets/:persistentId" and query == f"persistentId=doi:{DOI}":
            body = {"status": "OK", "data": {"id": 1, "latestVersion": {"files": self.server.entries}}}
            self.respond(self.server.api_body or json.dumps(body).encode(), self.server.api_status)
        elif path.startswith("/api/access/datafile/"):
            self.redirect(f"/storage/{path.rpartition('/')[2]}?{query}")
        elif path.startswith("/storage/"):
            self.file(int(path.rpartition("/")[2]), original="format=original" in query)
        else:
            self.respond(b"<html>not found</html>", 404)

    def file(self, number: int, original: bool) -> None:
        name = list(FILES)[number]
        content = FILES[name]
        if "originalFileFormat" in self.server.entries[number]["dataFile"] and not original:
            content = TAB
        if name == LAST and self.server.corrupt:
            content = content[:-1] + b"!"
        self.respond(content, self.server.file_status, cut=name == LAST and self.server.cut)

    def redirect(self, path: str) -> None:
        self.send_response(303)
        self.send_header("Location", path)
        self.end_headers()

    def respond(self, content: bytes, status: int = 200, cut: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on stderr."""
