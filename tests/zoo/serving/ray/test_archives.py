"""Archives by content: from folders and URLs, into a cache that nobody need trust."""

import functools
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from lesions.files import sha256
from zoo.serving.ray.archives import Archive, FetchError, fetch, listed, user_cache

CONTENT = bytes(range(256)) * 9000


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A folder with an archive and its manifest, under a name in which fsspec would read something."""
    store = tmp_path / "it's [1] * ::zoo"
    store.mkdir()
    (store / "baseline.mar").write_bytes(CONTENT)
    (store / "manifest.json").write_text(json.dumps({"baseline.mar": sha256(store / "baseline.mar")}))
    return store


@pytest.fixture(params=["folder", "file", "memory", "http"])
def source(request: pytest.FixtureRequest, store: Path, tmp_path: Path) -> Iterator[str]:
    if request.param == "folder":
        yield f"{store}/"
        return
    plain = tmp_path / "plain"
    store.rename(plain)
    if request.param == "file":
        yield plain.as_uri()
    elif request.param == "memory":
        memory = fsspec.filesystem("memory")
        for file in plain.iterdir():
            memory.pipe(f"/zoo/{file.name}", file.read_bytes())
        yield "memory://zoo"
        memory.rm("/zoo", recursive=True)
    else:
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=plain)) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{server.server_port}"
            server.shutdown()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_it_is_fetched_once_and_kept_by_its_digest(source: str, cache: Path) -> None:
    archive = listed(source, None)["baseline"]._replace(cache=str(cache))
    file = fetch(archive)
    assert file == cache / f"{archive.sha256}.mar"
    assert file.read_bytes() == CONTENT
    before = file.stat().st_mtime_ns
    assert fetch(archive._replace(source="file:///nowhere")) == file
    assert file.stat().st_mtime_ns == before
    assert {one.name for one in cache.iterdir() if not one.name.endswith(".lock")} == {file.name}


def test_another_content_is_an_error_and_is_not_kept(source: str, cache: Path) -> None:
    archive = listed(source, ["baseline"])["baseline"]._replace(sha256="0" * 64, cache=str(cache))
    with pytest.raises(FetchError, match=r"baseline\.mar has sha256 \w{12}\.\.\., not 000000000000\.\.\."):
        fetch(archive)
    assert not [one for one in cache.iterdir() if not one.name.endswith(".lock")]


def test_what_is_not_there_is_an_error_that_names_it(source: str, cache: Path) -> None:
    with pytest.raises(FetchError, match=r"transfer\.mar cannot be fetched \(FileNotFoundError"):
        fetch(Archive(source, "transfer.mar", "0" * 64, str(cache)))
    with pytest.raises(FetchError, match=r"manifest\.json does not list transfer; it lists: baseline"):
        listed(source, ["transfer", "baseline"])
    with pytest.raises(FetchError, match=r"nowhere/manifest\.json cannot be fetched"):
        listed(f"{source.rstrip('/')}/nowhere", None)


def test_a_kept_one_that_the_disk_damaged_is_fetched_again(store: Path, cache: Path) -> None:
    archive = listed(str(store), None)["baseline"]._replace(cache=str(cache))
    file = fetch(archive)
    file.write_bytes(CONTENT[:-1])
    assert fetch(archive).read_bytes() == CONTENT


def test_an_unknown_protocol_is_an_error(cache: Path) -> None:
    with pytest.raises(FetchError, match=r"gopher://zoo/a\.mar cannot be fetched \(ValueError: Protocol not known"):
        fetch(Archive("gopher://zoo", "a.mar", "0" * 64, str(cache)))


def test_an_empty_manifest_is_an_error(tmp_path: Path) -> None:
    for content in ("{}", "[]", "oops"):
        (tmp_path / "manifest.json").write_text(content)
        with pytest.raises(FetchError, match="lists no archive: make zoo writes it"):
            listed(str(tmp_path), None)


def test_the_user_s_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, store: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache() == tmp_path / "lesion-zoo" / "archives"
    assert fetch(listed(str(store), None)["baseline"]).parent == user_cache()
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert user_cache() == Path.home() / ".cache" / "lesion-zoo" / "archives"
