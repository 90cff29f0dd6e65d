import ast
import io
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from lesions.images import center_square, decode
from lesions.labels import CLASSES, DATA_LICENSE, NOTICE
from tests.networks import digest, probabilities, save_model
from tests.servers import pack
from zoo.kinds import KINDS, Kind
from zoo.kinds.classifier import CLASSIFIER
from zoo.models.network import build
from zoo.models.session import MODEL
from zoo.packaging.archive import ArchiveError, module_files
from zoo.packaging.card import markdown
from zoo.study import ROOT

Made = tuple[dict[str, Any], Path]

ALONE = """
import json, sys
folder, picture = sys.argv[1:]
sys.path.insert(0, folder)
from ts.context import Context, RequestProcessor
from lesion_classifier import LesionClassifier
import lesions.images, zoo.models.predictor
assert lesions.images.__file__.startswith(folder) and zoo.models.predictor.__file__.startswith(folder)
assert not any("/train/" in str(getattr(module, "__file__", "")) for module in list(sys.modules.values()))
context = Context("lesion_classifier", folder, {"model": {}}, 8, None, "0.12.0")
handler = LesionClassifier()
handler.initialize(context)
context.request_processor = [RequestProcessor({"Content-Type": "image/png"})]
print(json.dumps(handler.handle([{"body": bytearray(open(picture, "rb").read())}], context)))
"""


MEAN, STD = [0.7, 0.5, 0.5], [0.2, 0.2, 0.2]


def network() -> torch.nn.Module:
    torch.manual_seed(1)
    return build("test_efficientnet")


@pytest.fixture
def made(tmp_path: Path) -> Made:
    model = save_model(network(), tmp_path / "run" / MODEL, 64, MEAN, STD)
    entry = {
        "entry": "transfer_frozen_1",
        "study": "tests",
        "kind": "classifier",
        "about": "Größe?",
        "notice": NOTICE,
        "data": "phantom",
        "data_licence": DATA_LICENSE,
        "architecture": "test_efficientnet",
        "pixels": 64,
        "classes": CLASSES,
        "mean": MEAN,
        "deviation": STD,
        "recipe": {"b": 1, "a": None},
        "scores": {},
        "model_sha256": digest(model),
        "weights_sha256": "",
        "split_sha256": "",
        "versions": {},
        "commit": "",
    }
    return entry, model


def test_the_same_input_gives_the_same_bytes(made: Made, tmp_path: Path) -> None:
    entry, model = made
    first, second = tmp_path / "store" / "first.mar", tmp_path / "store" / "second.mar"
    pack(entry, model, first)
    os.utime(model, (0, 0))
    time.sleep(1.1)  # the archiver writes the time, in seconds
    pack(dict(reversed(entry.items())), model, second)
    assert first.read_bytes() == second.read_bytes()
    assert sorted(first.parent.glob("[!.]*")) == [first, first.with_name("manifest.json"), second]


def test_an_archive_holds_these_files_and_no_others(made: Made, tmp_path: Path) -> None:
    pack(*made, tmp_path / "x.mar")
    with zipfile.ZipFile(tmp_path / "x.mar") as archive:
        names = archive.namelist()
        manifest = json.loads(archive.read("MAR-INF/MANIFEST.json"))
        entry = json.loads(archive.read("entry.json"))
        card = archive.read("MODEL_CARD.md").decode()
        members = archive.infolist()
    own = ["MAR-INF/MANIFEST.json", "MODEL_CARD.md", "entry.json", "lesion_classifier.py", "model-config.yaml"]
    assert names == sorted([*module_files(CLASSIFIER)[1:], *own, MODEL])
    assert card == markdown(entry)
    assert card.startswith("# Model card: transfer_frozen_1\n")
    assert manifest["model"]["modelName"] == "lesion_classifier"
    assert manifest["model"]["modelVersion"] == "transfer_frozen_1"
    assert manifest["model"]["handler"] == "lesion_classifier.py"
    assert entry == json.loads(json.dumps(made[0]))
    assert {member.date_time for member in members} == {(1980, 1, 1, 0, 0, 0)}
    assert {member.external_attr >> 16 for member in members} == {0o100644}
    assert {member.compress_type for member in members} == {zipfile.ZIP_STORED}


def test_an_archive_is_replaced_in_one_step(made: Made, tmp_path: Path) -> None:
    target = tmp_path / "x.mar"
    target.write_bytes(b"old")
    entry, model = made
    with pytest.raises(ArchiveError, match="its sha256 is"):
        pack(entry | {"model_sha256": "0" * 64}, model, target)
    assert target.read_bytes() == b"old"
    pack(entry, model, target)
    assert zipfile.is_zipfile(target)


def test_a_missing_model_is_named(made: Made, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"none\.onnx: No such file"):
        pack(made[0], tmp_path / "none.onnx", tmp_path / "x.mar")


def test_odd_paths_do_no_harm(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = tmp_path / "a, b [c] é"
    odd.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(odd))  # the archiver takes commas and brackets for its own
    pack(*made, odd / "store" / "x.mar")
    assert zipfile.is_zipfile(odd / "store" / "x.mar")


def test_packing_needs_no_torch() -> None:
    code = "import sys, zoo.packaging.archive; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_handler_runs_where_there_is_no_repository(made: Made, tmp_path: Path) -> None:
    entry, model = made
    pack(entry, model, tmp_path / "x.mar")
    unpacked = (tmp_path / "unpacked").resolve()
    with zipfile.ZipFile(tmp_path / "x.mar") as archive:
        archive.extractall(unpacked)
    content = io.BytesIO()
    Image.effect_noise((90, 70), 80).convert("RGB").save(content, "PNG")
    (tmp_path / "mole.png").write_bytes(content.getvalue())
    command = [sys.executable, "-I", "-c", ALONE, str(unpacked), str(tmp_path / "mole.png")]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=unpacked, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [answer] = json.loads(done.stdout.splitlines()[-1])

    wanted = probabilities(network(), center_square(decode(content.getvalue()), 64)[None].copy(), MEAN, STD)[0]
    assert list(answer["probabilities"]) == list(CLASSES)
    assert list(answer["probabilities"].values()) == pytest.approx(wanted.tolist(), abs=1e-4)


OURS = ("lesions", "zoo", "train", "gan", "handlers", "compare", "gateway")


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_archived_modules_import_nothing_of_ours_but_archived_modules(kind: Kind) -> None:
    files = module_files(kind)
    for module in files:
        if module == "zoo/__init__.py":  # its imports are lazy; the test above runs without what they import
            continue
        tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                whole = [f"{node.module}.{alias.name}" for alias in node.names]
                names = [name if (ROOT / f"{name.replace('.', '/')}.py").is_file() else node.module for name in whole]
            for name in names:
                if name.partition(".")[0] in OURS:
                    assert f"{name.replace('.', '/')}.py" in files, f"{module} imports {name}"
