"""Archives opened side by side: those that can answer are served, the others are named with the reason."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.small_zoo import NAMES, made
from tests.networks import digest
from tests.servers import pack
from zoo.serving.local.threads import open_all
from zoo.serving.rest.errors import RequestError
from zoo.serving.rest.versions import Versions


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of a classifier and a generator."""
    root = tmp_path_factory.mktemp("whole")
    for kind, name in NAMES.items():
        entry, model = made(kind, root / kind)
        pack(entry, model, root / "store" / f"{name}.mar")
    return root / "store"


def rewrite(archive: Path, target: Path, change: Callable[[dict[str, Any], dict[str, bytes]], object]) -> None:
    """Write an archive anew, with its entry and its other members changed."""
    with zipfile.ZipFile(archive) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    entry = json.loads(members["entry.json"])
    change(entry, members)
    with zipfile.ZipFile(target, "w") as packed:
        for name, content in (members | {"entry.json": json.dumps(entry).encode()}).items():
            packed.writestr(name, content)


def opened(store: Path, *names: str) -> tuple[Versions, dict[str, str]]:
    notes: dict[str, str] = {}
    return open_all(store, {f"{name}.mar": name for name in names}, notes.__setitem__), notes


def test_every_version_is_found(whole: Path) -> None:
    versions, notes = opened(whole, *NAMES.values())
    assert notes == dict.fromkeys(NAMES.values(), "")
    assert versions.models == ["lesion_classifier", "lesion_generator"]
    version = versions.find("lesion_classifier")
    assert (version.name, version.file) == ("baseline", "baseline.mar")
    assert versions.find("lesion_classifier", "baseline") is version
    with pytest.raises(RequestError, match="Model version: sagan does not exist for model: lesion_classifier"):
        versions.find("lesion_classifier", "sagan")


def exchange(entry: dict[str, Any], members: dict[str, bytes]) -> None:
    members["model.onnx"] = b"no model"


def exchange_and_say_so(entry: dict[str, Any], members: dict[str, bytes]) -> None:
    exchange(entry, members)
    import hashlib

    entry["model_sha256"] = hashlib.sha256(members["model.onnx"]).hexdigest()


DAMAGE: dict[str, tuple[Callable[[dict[str, Any], dict[str, bytes]], object], str]] = {
    "exchanged": (exchange, "entry.json says"),
    "unreadable": (exchange_and_say_so, "onnxruntime cannot read the model"),
    "wide": (lambda entry, _: entry.update(pixels=48), "the model of another network"),
    "lacking": (lambda _, members: members.pop("model.onnx"), "is not an archive of the zoo"),
    "classless": (lambda entry, _: entry.pop("classes"), "entry.json has no 'classes'"),
    "strange": (lambda entry, _: entry.update(kind="committee"), "KeyError: 'committee'"),
    "speechless": (lambda entry, _: entry.pop("notice"), "KeyError: 'notice'"),
}


def test_a_damaged_archive_is_named_and_the_others_are_served(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "sagan.mar").write_bytes((whole / "sagan.mar").read_bytes())
    (tmp_path / "torn.mar").write_bytes((whole / "baseline.mar").read_bytes()[:5000])
    for name, (damage, _) in DAMAGE.items():
        rewrite(whole / "baseline.mar", tmp_path / f"{name}.mar", damage)
    reasons = {name: reason for name, (_, reason) in DAMAGE.items()}
    reasons |= {"torn": "is not an archive of the zoo", "absent": "is not an archive of the zoo"}
    versions, notes = opened(tmp_path, "sagan", *reasons)
    assert versions.models == ["lesion_generator"]
    assert notes.pop("sagan") == ""
    assert notes.keys() == reasons.keys()
    for name, note in notes.items():
        assert reasons[name] in note, name
        assert "\n" not in note
    assert digest(tmp_path / "sagan.mar") == digest(whole / "sagan.mar")
