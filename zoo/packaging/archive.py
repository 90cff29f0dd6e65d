"""Packs a trained classifier or generator into a self-contained .mar, the same bytes for the same input."""

import json
import shutil
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from lesions.errors import UserError
from lesions.files import file_lock, sha256, with_filename
from zoo.kinds import KINDS, Kind
from zoo.models.session import DAMAGED, MODEL
from zoo.packaging import card, manifest
from zoo.study import ROOT

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The date of every member: the first that a zip can hold."""


class ArchiveError(UserError):
    """An archive that cannot be packed; `str()` says why."""


Packer = Callable[[Path, Kind, str], Mapping[str, bytes]]
"""Makes the members of an archive out of a folder of files (`zoo.serving.torchserve.archiver.pack`)."""


def module_files(kind: Kind) -> list[str]:
    """The source files that archives of a kind carry, with the handler first, relative to the root.

    The modules are those of the import contract of that kind's model in pyproject.toml, which lets them import nothing
    else of ours; with their packages' `__init__`.
    """
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    modules = next(contract["source_modules"] for contract in contracts if contract["id"] == f"archived-{kind.model}")
    files = {f"{module.replace('.', '/')}.py" for module in modules}
    packages = {f"{parent}/__init__.py" for file in files for parent in Path(file).parents if parent.name}
    return [f"handlers/{kind.model}.py", *sorted(files | packages)]


def pack(entry: Mapping[str, object], model: Path, target: Path, packer: Packer) -> None:
    """Pack a `model` (ONNX) and what is known of it into the archive `target`, by a `packer`.

    `entry` becomes the archive's `entry.json` and, for people, its `MODEL_CARD.md`; its `entry` is the served version,
    and its `model_sha256` must be the digest of `model`. The same input gives the same bytes. `target` is replaced
    in one step, and noted in its folder's manifest. Raises `ArchiveError` where the model is not that of `entry`,
    or the packer fails.
    """
    _check(entry, model)
    kind = KINDS[str(entry["kind"])]
    with tempfile.TemporaryDirectory(prefix="lesion-zoo-") as name:
        stage = Path(name)
        with with_filename(stage):
            _stage(kind, entry, model, stage / "extra")
        members = packer(stage, kind, str(entry["entry"]))
        target.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(target), with_filename(target):
            aside = target.with_name(f".{target.name}.partial")  # the rest of a killed process is overwritten
            try:
                _write(members, aside)
                manifest.install(aside, target)
            finally:
                aside.unlink(missing_ok=True)


def _check(entry: Mapping[str, object], model: Path) -> None:
    try:
        digest = sha256(model)
    except OSError as error:
        raise ArchiveError(f"{model}: {error.strerror}") from None
    if entry["model_sha256"] != digest:
        raise ArchiveError(
            f"{model}: its sha256 is {digest[:12]}..., but the entry {entry['entry']!r} was scored with "
            f"{str(entry['model_sha256'])[:12]}...; train it again"
        )


def _stage(kind: Kind, entry: Mapping[str, object], model: Path, extra: Path) -> None:
    """Lay out in `extra` what the archive carries beside its handler."""
    for file in module_files(kind)[1:]:
        (extra / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / file, extra / file)
    shutil.copyfile(model, extra / MODEL)  # a new date, too: a zip takes none before 1980
    text = json.dumps(entry, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    (extra / "entry.json").write_text(text + "\n", encoding="utf-8")
    (extra / "MODEL_CARD.md").write_text(card.markdown(entry), encoding="utf-8")


def _write(members: Mapping[str, bytes], target: Path) -> None:
    """Write an archive without dates, in the order of names, uncompressed."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            member = zipfile.ZipInfo(name, EPOCH)
            member.create_system = 3  # Unix, wherever it is packed
            member.external_attr = 0o100644 << 16
            archive.writestr(member, members[name])


def identify(archive: Path) -> tuple[str, str]:
    """Model and version of an archive. Raises `ArchiveError` where the file is none."""
    try:
        with zipfile.ZipFile(archive) as opened:
            entry = json.loads(opened.read("entry.json"))
        return KINDS[entry["kind"]].model, str(entry["entry"])
    except DAMAGED as error:
        raise ArchiveError(f"{archive} is not an archive ({error}); delete it and make it again") from None
