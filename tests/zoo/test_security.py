"""What docs/security.md promises, as far as it shows without a server; the rest: tests/faults/test_security.py."""

import ast
import hashlib
import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from huggingface_hub.errors import EntryNotFoundError
from numpy.typing import NDArray
from safetensors import SafetensorError
from ts.context import Context

from gan import checkpoint, trained
from handlers.lesion_classifier import LesionClassifier
from handlers.lesion_generator import LesionGenerator
from lesions import images, store
from lesions.index import DataError
from lesions.labels import CLASSES
from tests.servers import start
from train.best import checkpoint_origin
from zoo.models import pretrained
from zoo.models.network import build, load
from zoo.models.session import ModelError
from zoo.models.weights import WeightsError, is_intact, origin_of
from zoo.serving.http import ServerError
from zoo.serving.runtime import ALL_NETWORKS, LOOPBACK
from zoo.serving.torchserve.process import BASE, LOGGING, PORTS, _settings
from zoo.study import ROOT

SECURITY = " ".join((ROOT / "docs" / "security.md").read_text().split())


class Evil:
    """Writes a file if it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[Path, str]]:
        return Path.write_text, (self.file, "unpickled")


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    return tmp_path / "victim"


def plain(evil: Evil, file: Path) -> None:
    file.write_bytes(pickle.dumps(evil))


def by_torch(evil: Evil, file: Path) -> None:
    torch.save(
        {"callbacks": {"BestEpoch": {"origin": evil}}, "recipe_sha256": evil, "state_dict": {"weight": evil}}, file
    )


def by_old_torch(evil: Evil, file: Path) -> None:
    torch.save({"callbacks": {"BestEpoch": {"origin": evil}}}, file, _use_new_zipfile_serialization=False)


WAYS = [plain, by_torch, by_old_torch]
Way = Callable[[Evil, Path], None]


@pytest.mark.parametrize("way", WAYS)
def test_the_pickle_would_write_a_file(way: Way, tmp_path: Path, victim: Path) -> None:
    way(Evil(victim), file := tmp_path / "file")
    if way is plain:
        pickle.loads(file.read_bytes())
    else:
        torch.load(file, weights_only=False)
    assert victim.read_text() == "unpickled"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("handler", [LesionClassifier, LesionGenerator])
def test_a_handler_does_not_unpickle_a_model(
    handler: type[LesionClassifier | LesionGenerator], way: Way, tmp_path: Path, victim: Path
) -> None:
    way(Evil(victim), model := tmp_path / "model.onnx")
    entry = {"architecture": "test_efficientnet", "classes": list(CLASSES), "pixels": 32, "width": 4}
    entry["model_sha256"] = hashlib.sha256(model.read_bytes()).hexdigest()
    (tmp_path / "entry.json").write_text(json.dumps(entry))
    with pytest.raises(ModelError, match="onnxruntime cannot read the model"):
        handler().initialize(Context("model", str(tmp_path), {"model": {}}, 1, None, "0.12.0"))
    assert not victim.exists()


READERS: list[Callable[[Path], object]] = [
    lambda file: load(build("test_efficientnet"), file),
    lambda file: trained.load_generator(file.parent, 32, 4),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("reader", READERS)
def test_nothing_that_reads_weights_unpickles_them(
    reader: Callable[[Path], object], way: Way, tmp_path: Path, victim: Path
) -> None:
    way(Evil(victim), file := tmp_path / "weights.safetensors")
    with pytest.raises((WeightsError, SafetensorError)):
        reader(file)
    assert not victim.exists()


@pytest.mark.parametrize("way", WAYS)
def test_nor_does_what_looks_where_they_are_from(way: Way, tmp_path: Path, victim: Path) -> None:
    way(Evil(victim), file := tmp_path / "weights.safetensors")
    assert origin_of(file) == {}
    assert not is_intact(file)
    assert not victim.exists()


@pytest.mark.parametrize("way", WAYS)
def test_a_checkpoint_with_pickles_is_as_good_as_none(way: Way, tmp_path: Path, victim: Path) -> None:
    way(Evil(victim), file := tmp_path / "last.ckpt")
    assert checkpoint_origin(file) == {}
    assert not victim.exists()
    torch.save({"callbacks": {"BestEpoch": {"origin": {"recipe_sha256": "x"}}}}, file)
    assert checkpoint_origin(file) == {"recipe_sha256": "x"}


@pytest.mark.parametrize("way", WAYS)
def test_so_is_a_generators(way: Way, tmp_path: Path, victim: Path) -> None:
    way(Evil(victim), file := tmp_path / "last.ckpt")
    assert checkpoint.load(file, {"recipe_sha256": "x"}) is None
    assert not file.exists()
    assert not victim.exists()


@pytest.mark.parametrize("way", WAYS)
def test_nor_is_what_a_hub_gives(way: Way, tmp_path: Path, victim: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    way(Evil(victim), file := tmp_path / "pytorch_model.bin")
    asked: list[str] = []

    def download(filename: str, **_: object) -> str:
        asked.append(filename)
        if filename.endswith(".safetensors"):
            raise EntryNotFoundError("there is none")
        return str(file)

    monkeypatch.setattr("timm.models._hub.hf_hub_download", lambda *names, **rest: download(**_named(names, rest)))
    monkeypatch.setattr("httpx.head", lambda *_, **__: None)
    with pytest.raises(WeightsError, match="timm's hub did not give the weights"):
        pretrained._from_hub("mobilenetv2_100")
    assert "pytorch_model.bin" in asked
    assert not victim.exists()


def _named(names: tuple[str, ...], rest: dict[str, str]) -> dict[str, str]:
    """huggingface_hub's arguments by name."""
    return rest | dict(zip(("repo_id", "filename"), names, strict=False))


def test_the_cache_is_not_unpickled(tmp_path: Path, victim: Path) -> None:
    objects: NDArray[np.object_] = np.array([Evil(victim)], dtype=object)
    np.save(tmp_path / "images.npy", objects, allow_pickle=True)
    (tmp_path / "index.csv").write_text("a,nv,l\n")
    (tmp_path / "store.json").write_text('{"digest": "x"}')
    with pytest.raises(DataError, match="dtype"):
        store.load(tmp_path)
    assert not victim.exists()


def test_no_code_of_ours_unpickles() -> None:
    files = [
        file
        for room in ("lesions", "zoo", "train", "gan", "handlers", "compare", "gateway")
        for file in ROOT.glob(f"{room}/**/*.py")
    ]
    assert len(files) > 60
    calls = [
        (file, node) for file in files for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)
    ]
    loads = 0
    for file, call in calls:
        name, given = ast.unparse(call.func), {word.arg: ast.unparse(word.value) for word in call.keywords}
        where = f"{file.name}:{call.lineno}: {name}"
        assert not re.search(r"pickle\.loads?$|joblib|load_from_checkpoint|^eval$|^exec$|yaml\.load$|marshal", name), (
            where
        )
        assert "allow_pickle" not in given, where
        assert given.get("shell") != "True", where
        if name == "torch.load" or (name == "trainer.fit" and "ckpt_path" in given):
            assert given["weights_only"] == "True", where
            loads += 1
    assert loads == 4  # two checkpoints of trainings, Lightning's own, and the packages of ImageNet weights


def settings() -> dict[str, str]:
    """What config.properties says."""
    lines = [line.partition("=") for line in BASE.read_text().splitlines() if line and not line.startswith("#")]
    return {name: value for name, _, value in lines}


def test_the_settings_promise_what_security_md_does(tmp_path: Path) -> None:
    output = settings()
    assert {name for name, value in output.items() if LOOPBACK in value} == {f"{name}_address" for name in PORTS}
    for name, value in {
        "disable_token_authorization": "false",
        "enable_model_api": "false",
        "enable_envvars_config": "false",
        "install_py_dep_per_model": "false",
        "allowed_urls": "none",
    }.items():
        assert output[name] == value, name
    own = _settings(tmp_path, tmp_path / "workflows", ["a.mar"], 9000, LOOPBACK)
    assert {line.partition("=")[0] for line in own.splitlines()} & output.keys() == {
        "load_models", "inference_address", "management_address", "metrics_address"
    }  # fmt: skip
    assert f"{images.MAX_PIXELS // 10**6} million pixels and {int(output['max_request_size']) // 10**6} MB" in SECURITY
    assert f"{images.MAX_SCANS} scans; in at most {images.SECONDS} seconds" in SECURITY
    assert f"valid for {output['token_expiration_min']} minutes" in SECURITY


def test_logs_are_bounded() -> None:
    assert settings()["vmargs"] == f"-Dlog4j.configurationFile={LOGGING}"
    appenders = (
        ElementTree.parse(ROOT / "zoo" / "serving" / "torchserve" / "log4j2.xml").getroot().findall("Appenders/*")
    )
    assert {appender.tag for appender in appenders} == {"RollingFile"}  # no console, which nothing rotates
    assert len(appenders) == 3
    for appender in appenders:
        assert "%i" in appender.attrib["filePattern"]  # else `max` means nothing
        assert appender.find("SizeBasedTriggeringPolicy").attrib == {"size": "10 MB"}  # type: ignore[union-attr]
        assert appender.find("DefaultRolloverStrategy").attrib == {"max": "3"}  # type: ignore[union-attr]
    assert "No log grows beyond 10 MB, with three older ones" in SECURITY


def test_only_inference_is_opened_to_others(tmp_path: Path) -> None:
    closed, opened = (
        _settings(tmp_path, tmp_path, ["a.mar"], 9000, host).splitlines() for host in (LOOPBACK, ALL_NETWORKS)
    )
    changed = [line for line in opened if line not in closed]
    assert changed == [f"inference_address=http://{ALL_NETWORKS}:9000"]
    assert len(PORTS) == 5
    with pytest.raises(ServerError, match=r"HOST=10\.0\.0\.1: it is 127\.0\.0\.1 .* or 0\.0\.0\.0"):
        start(tmp_path, tmp_path / "serve", 9000, host="10.0.0.1")
    command = [sys.executable, "-m", "gateway", "serve", "--host", "foo", "--gateway-port", "65535"]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"LESION_ZOO_ROOT": str(tmp_path)}, stderr=subprocess.PIPE
    )
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: HOST=foo: it is 127.0.0.1"), "and not that a port is taken"


@pytest.mark.parametrize(("arguments", "given"), [(["HOST=0.0.0.0"], True), ([], False)])
def test_make_serve_takes_a_host_from_its_command_line_only(arguments: list[str], given: bool) -> None:
    # Shells set HOST to the machine's name.
    command = ["env", "HOST=0.0.0.0", "make", "-n", "serve", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert ("--host '0.0.0.0'" in done.stdout) == given
    assert "-m gateway serve" in done.stdout


@pytest.mark.parametrize(
    "name", ["key_file.json", "runs/x/serve/key_file.json", "elsewhere/key_file.json", "reports/x"]
)
def test_git_ignores_keys(name: str) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no repository")
    command = ["git", "check-ignore", "--quiet", "--no-index", name]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0
    assert subprocess.run([*command[:-1], "README.md"], cwd=ROOT, check=False).returncode == 1
