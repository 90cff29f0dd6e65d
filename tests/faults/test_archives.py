"""Archives that are not what `make zoo` packed are refused before TorchServe sees them; the others are served."""

import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.checkout import Harmed
from tests.faults.conftest import Reliability
from tests.servers import free_ports, start
from zoo.packaging import manifest
from zoo.serving.http import ServerError
from zoo.serving.torchserve import server


def flip_a_byte(archive: Path) -> None:
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)


def rewrite(archive: Path, change: Callable[[dict[str, bytes]], object]) -> None:
    """Change an archive's members, which are handed over by name."""
    with zipfile.ZipFile(archive) as packed:
        members = {name: packed.read(name) for name in packed.namelist()}
    change(members)
    with zipfile.ZipFile(archive, "w") as packed:
        for name, content in members.items():
            packed.writestr(name, content)


def exchange_the_model(archive: Path) -> None:
    rewrite(archive, lambda members: members.update({"model.onnx": bytes(8) + b"{}"}))


def leave_a_member_out(archive: Path) -> None:
    rewrite(archive, lambda members: members.pop("zoo/models/predictor.py"))


def add_a_path_that_escapes(archive: Path) -> None:
    rewrite(archive, lambda members: members.update({"../../../escaped.py": b"escaped = True\n"}))


def add_a_module(archive: Path) -> None:
    rewrite(archive, lambda members: members.update({"sitecustomize.py": b"open('/tmp/ran', 'w')\n"}))


FAULTS = {
    "flipped": (flip_a_byte, "one flipped byte"),
    "exchanged": (exchange_the_model, "another model"),
    "lacking": (leave_a_member_out, "a missing member"),
    "escaping": (add_a_path_that_escapes, "a member whose path escapes (`../`)"),
    "added": (add_a_module, "an extra module"),
}


def spoil(good: Path, archives: Path) -> None:
    """Put each of `FAULTS` into `archives`, as if `make zoo` had packed it and somebody then did the harm."""
    for name, (harm, _) in FAULTS.items():
        packed, archive = archives / f".{name}.partial", archives / f"{name}.mar"
        shutil.copy(good, packed)
        manifest.install(packed, archive)
        harm(archive)
    shutil.copy(good, archives / "stranger.mar")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A folder with one good archive, which need not run, and all the bad ones."""
    packed = tmp_path / "study" / ".good.partial"
    packed.parent.mkdir()
    with zipfile.ZipFile(packed, "w") as archive:
        model = {"modelName": "lesion_classifier", "modelVersion": "good"}
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps({"model": model}))
        archive.writestr("entry.json", json.dumps({"kind": "classifier", "entry": "good"}))
        archive.writestr("zoo/models/predictor.py", "# code\n" * 100)
        archive.writestr("model.onnx", bytes(1000))
    manifest.install(packed, packed.with_name("good.mar"))
    spoil(packed.with_name("good.mar"), packed.parent)
    return packed.parent


def test_what_is_not_in_the_manifest_is_no_good(small: Path, reliability: Reliability) -> None:
    row = reliability.row("archives changed in five ways, and a foreign one", "the manifest tells them from a good one")
    result = manifest.verify(small)
    row.tried = len(FAULTS) + 1
    assert [name for name, checked in result.items() if not checked.problem] == ["good.mar"]
    for name in FAULTS:
        assert f"make zoo STUDY=study ENTRIES={name}" in result[f"{name}.mar"].problem
        assert "was changed since `make zoo` packed it" in result[f"{name}.mar"].problem
    assert "is not in manifest.json" in result["stranger.mar"].problem
    row.seen = "it does"


def test_only_good_ones_are_launched(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launched: list[list[str]] = []

    def launch(archives: Path, files: list[str], *rest: object) -> None:
        launched.append(files)
        raise ServerError("that is enough")

    monkeypatch.setattr(server, "launch", launch)
    with pytest.raises(ServerError, match="that is enough"):
        start(small, tmp_path / "serve", 20_000)
    assert launched == [["good.mar"]]
    flip_a_byte(small / "good.mar")
    with pytest.raises(ServerError, match=re.escape("good.mar was changed since `make zoo` packed it")):
        start(small, tmp_path / "serve", 20_000)
    assert launched == [["good.mar"]]


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"good.mar": 1}', '{"good.mar": "0"}'])
def test_without_a_manifest_nothing_is_good(small: Path, content: str | None) -> None:
    file = small / manifest.FILE
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    assert all(checked.problem for checked in manifest.verify(small).values())


def test_make_packs_again_what_would_be_refused(small: Path) -> None:
    assert len(manifest.remove_untrusted(small, ["good", "flipped", "stranger"])) == 2
    left = {file.stem for file in small.glob("*.mar")}
    assert left == {"good", *FAULTS} - {"flipped"}
    packed = small / ".flipped.partial"
    shutil.copy(small / "good.mar", packed)
    manifest.install(packed, small / "flipped.mar")
    known = json.loads((small / manifest.FILE).read_text())
    assert known.keys() == {f"{name}.mar" for name in left | {"flipped"}}
    assert manifest.verify(small)["flipped.mar"].problem == ""


@pytest.mark.thorough
@pytest.mark.server
@pytest.mark.slow
def test_bad_archives_beside_good_ones(copy: Harmed, built: Harmed, reliability: Reliability) -> None:
    row = reliability.row(
        f"served by `make serve`: {', '.join(words for _, words in FAULTS.values())}, and an archive from elsewhere",
        "each is named with what to do and never seen by TorchServe; the good ones are served; `make zoo` mends them",
    )
    spoil(copy.archives / "baseline.mar", copy.archives)
    before = copy.digests()
    flip_a_byte(copy.archives / "weighted_loss.mar")
    try:
        done = copy.make("serve", PORT=str(free_ports()), GATEWAY_PORT=str(free_ports()))
        row.tried = len(FAULTS) + 2
        assert done.returncode == 2
        assert "7 of 8 versions cannot be served" in done.stderr
        for name in (*FAULTS, "weighted_loss"):
            assert f"{name}.mar was changed since `make zoo` packed it" in done.stderr
        assert "stranger.mar is not in manifest.json" in done.stderr
        assert ": the other 1." in done.stderr
        status = copy.made("status")
        assert "baseline" in status
        logs = (copy.runs / "serve" / "logs" / "ts_log.log").read_text()
        assert "baseline.mar" in logs
        for name in (*FAULTS, "stranger", "weighted_loss"):
            assert f"{name}.mar" not in logs
        assert not list(copy.folder.rglob("escaped.py"))
    finally:
        copy.made("stop")
    output = copy.made("zoo", ENTRIES="baseline weighted_loss")
    assert "weighted_loss.mar is not what `make zoo` packed: packing it again" in output
    assert copy.digests() == built.digests() != before
    row.seen = "so it was; an entry's archive was packed again to the same bytes, those of no entry were deleted"
