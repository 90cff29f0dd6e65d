"""The manifests in deploy/: as `make manifests` writes them, and valid; a wrong field anywhere is an error."""

import copy
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import validate
from gateway.manifests import kuberay, settings
from gateway.manifests.__main__ import main, write
from lesions.errors import UserError
from zoo.entry import catalog
from zoo.serving.ray.settings import DOOR_CPUS
from zoo.study import ROOT

FILES = {file.name: yaml.safe_load(file.read_text()) for file in sorted((ROOT / "deploy").glob("*.yaml"))}
FREE = ("labels", "annotations", "rayStartParams", "requests", "limits")
"""Objects with keys of one's own: another key is no mistake there."""
CRDS = os.environ.get("CRDS")
"""A folder with the published CRDs, where there is one."""

Place = tuple[str | int, ...]


def places(node: Any, at: Place = ()) -> Iterator[Place]:
    """The paths of all fields and items of a manifest."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield (*at, key)
        yield from places(value, (*at, key))


def inside(manifest: dict[str, Any]) -> dict[str, Any]:
    """A manifest with Ray Serve's configuration as an object."""
    opened = copy.deepcopy(manifest)
    if "serveConfigV2" in opened["spec"]:
        opened["spec"]["serveConfigV2"] = yaml.safe_load(opened["spec"]["serveConfigV2"])
    return opened


def problems(opened: dict[str, Any]) -> list[str]:
    manifest = copy.deepcopy(opened)
    if not isinstance(manifest.get("spec", {}), dict):
        return validate.problems(manifest)
    if isinstance(manifest.get("spec", {}).get("serveConfigV2"), dict):
        manifest["spec"]["serveConfigV2"] = yaml.safe_dump(manifest["spec"]["serveConfigV2"])
    found = validate.problems(manifest)
    if CRDS and isinstance(manifest.get("kind"), str) and manifest["kind"] in ("InferenceService", "RayService"):
        crd = crd_of(manifest["kind"])
        assert not found or validate.problems(manifest, crd), f"the published CRD takes it: {found}"
    return found


def crd_of(kind: str, kept: dict[str, dict[str, Any]] = {}) -> dict[str, Any]:  # noqa: B006
    if kind not in kept:
        version = {"InferenceService": "serving.kserve.io/v1beta1", "RayService": "ray.io/v1"}[kind]
        kept[kind] = validate.published(Path(CRDS or ""), kind, version)
    return kept[kind]


ALL = [(name, place) for name, manifest in FILES.items() for place in places(inside(manifest))]


def parent(opened: dict[str, Any], place: Place) -> Any:
    node: Any = opened
    for key in place[:-1]:
        node = node[key]
    return node


def test_manifests_are_there_and_valid() -> None:
    assert set(FILES) == {"kserve.yaml", "kserve-canary.yaml", "kuberay.yaml"}
    for manifest in FILES.values():
        assert problems(inside(manifest)) == []


@pytest.mark.parametrize(
    ("name", "place"), ALL, ids=lambda part: part if isinstance(part, str) else ".".join(map(str, part))
)
def test_a_wrong_field_is_found(name: str, place: Place) -> None:
    key, value = place[-1], parent(inside(FILES[name]), place)[place[-1]]
    mutants = []
    wrong_type = inside(FILES[name])
    other = "wrong" if isinstance(value, dict | list) else 1 if value is None else {"wrong": [1]}
    parent(wrong_type, place)[key] = other
    mutants.append(wrong_type)
    if isinstance(key, str) and (len(place) < 2 or place[-2] not in FREE):
        renamed = inside(FILES[name])
        node = parent(renamed, place)
        node[f"{key}s"] = node.pop(key)
        mutants.append(renamed)
    if isinstance(value, dict) and key not in FREE:
        more = inside(FILES[name])
        parent(more, place)[key]["unknown"] = "value"
        mutants.append(more)
    for mutant in mutants:
        assert problems(mutant), yaml.safe_dump(mutant)


def test_a_schema_that_differs_from_the_published_one_is_found() -> None:
    theirs = {
        "type": "object",
        "required": ["a", "b"],
        "properties": {"a": {"type": "string"}, "b": {"type": "integer"}},
    }
    ours = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}, "c": {"type": "string"}}}
    assert sorted(validate.differences(ours, theirs)) == [
        ".b: required by the CRD",
        "a: integer here, string in the CRD",
        "c: not in the CRD",
    ]


def test_a_crd_is_closed_but_where_it_is_open(tmp_path: Path) -> None:
    crd = """
kind: CustomResourceDefinition
spec:
  group: example.org
  names: {kind: Example}
  versions:
  - name: v1
    schema:
      openAPIV3Schema:
        type: object
        properties:
          apiVersion: {type: string}
          kind: {type: string}
          metadata: {type: object}
          closed: {type: object, properties: {port: {x-kubernetes-int-or-string: true}}}
          open: {type: object, x-kubernetes-preserve-unknown-fields: true}
"""
    (tmp_path / "crd.yaml").write_text(crd)
    contents = validate.published(tmp_path, "Example", "example.org/v1")
    example: dict[str, Any] = {"metadata": {"name": "one"}, "closed": {"port": "http"}, "open": {"anything": 1}}
    assert validate.problems(example, contents) == []
    example["closed"] = {"ports": 1}
    [problem] = validate.problems(example, contents)
    assert "ports" in problem
    with pytest.raises(UserError, match="no file there has the CRD"):
        validate.published(tmp_path, "Other", "example.org/v1")


def test_the_command_fails_and_says_where(tmp_path: Path) -> None:
    text = (ROOT / "deploy" / "kserve.yaml").read_text().replace("minReplicas:", "minReplica:")
    (tmp_path / "kserve.yaml").write_text(text)
    command = [sys.executable, "-m", "deploy.validate", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 2
    assert "spec.predictor" in ended.stderr
    assert "minReplica" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_manifest_without_a_version_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "deploy" / "kserve.yaml").read_text()
    (tmp_path / "kserve.yaml").write_text(text.replace("apiVersion:", "apiVersions:", 1))
    with pytest.raises(SystemExit) as ended:
        validate.main(tmp_path, crds=tmp_path)
    assert ended.value.code == 2
    assert "apiVersion" in capsys.readouterr().err


def test_what_is_committed_is_what_make_manifests_writes(tmp_path: Path) -> None:
    main(out=tmp_path)
    for name in FILES:
        assert (tmp_path / name).read_text() == (ROOT / "deploy" / name).read_text(), "make manifests"


def test_the_canary_differs_by_its_archives_and_its_share_alone() -> None:
    stable, canary = FILES["kserve.yaml"], copy.deepcopy(FILES["kserve-canary.yaml"])
    predictor = canary["spec"]["predictor"]
    assert predictor.pop("canaryTrafficPercent") == 10
    [uri] = predictor["containers"][0]["env"]
    assert uri["value"].endswith("-next")
    uri["value"] = uri["value"].removesuffix("-next")
    assert canary == stable


def test_buckets_replicas_and_entries_are_passed_on(tmp_path: Path) -> None:
    wanted = settings.Settings(
        image="registry.example.org:5000/zoo:2",
        ray_image="registry.example.org:5000/zoo-ray:2",
        archives=settings.archives("s3://models/ham/"),
        canary="gs://models/next",
        share=settings.share("25"),
        replicas=settings.replicas("2-9"),
        entries=("transfer", "gan_1"),
    )
    write(tmp_path, wanted)
    stable, canary, ray = (
        yaml.safe_load((tmp_path / name).read_text()) for name in ("kserve.yaml", "kserve-canary.yaml", "kuberay.yaml")
    )
    assert all(problems(inside(manifest)) == [] for manifest in (stable, canary, ray))
    predictor = canary["spec"]["predictor"]
    assert (predictor["canaryTrafficPercent"], predictor["minReplicas"], predictor["maxReplicas"]) == (25, 2, 9)
    assert predictor["containers"][0]["env"] == [{"name": "STORAGE_URI", "value": "gs://models/next"}]
    assert stable["spec"]["predictor"]["containers"][0]["image"] == "registry.example.org:5000/zoo:2"
    args = inside(ray)["spec"]["serveConfigV2"]["applications"][0]["args"]
    assert (args["archives"], args["entries"], args["replicas"]) == ("s3://models/ham", ["transfer", "gan_1"], "2-9")
    assert "persistentVolumeClaim" not in (tmp_path / "kuberay.yaml").read_text()


def test_pods_write_to_one_database_whose_password_is_in_a_secret(tmp_path: Path) -> None:
    main(out=tmp_path, events="postgresql://zoo@db.example.org/events")
    stable, ray = (yaml.safe_load((tmp_path / name).read_text()) for name in ("kserve.yaml", "kuberay.yaml"))
    assert problems(inside(stable)) == problems(inside(ray)) == []
    [container] = stable["spec"]["predictor"]["containers"]
    assert container["command"][-2:] == ["--events", "postgresql://zoo@db.example.org/events"]
    args = inside(ray)["spec"]["serveConfigV2"]["applications"][0]["args"]
    assert args["gateway"] == {"events": "postgresql://zoo@db.example.org/events"}
    cluster = ray["spec"]["rayClusterConfig"]
    pods = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    password = {
        "name": "PGPASSWORD",
        "valueFrom": {"secretKeyRef": {"name": "lesion-zoo-events", "key": "password"}},
    }
    for one in (container, *(pod["template"]["spec"]["containers"][0] for pod in pods)):
        assert one["env"][-1] == password
    with pytest.raises(SystemExit):
        main(out=tmp_path, events="postgresql://zoo:secret@db.example.org/events")


def test_a_url_that_kserve_cannot_fetch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(out=tmp_path, archives="https://models.example.org/ham")
    assert [file.name for file in tmp_path.iterdir()] == ["kuberay.yaml"]
    assert "none for KServe" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(out=tmp_path, archives="s3://bucket/ham", canary="https://models.example.org/next")
    assert "CANARY=https://models.example.org/next: KServe fetches no folder" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["1", "3", "1-4"])
def test_workers_have_room_for_every_entry(text: str) -> None:
    wanted = settings.Settings(
        image="zoo", ray_image="ray", archives="s3://a", canary="s3://b", share=10, replicas=settings.replicas(text)
    )
    workers = kuberay.service(wanted)["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]
    [container] = workers["template"]["spec"]["containers"]
    cpus = float(container["resources"]["limits"]["cpu"])
    args = kuberay.serve_config(wanted)["applications"][0]["args"]
    for most, end in ((workers["minReplicas"], 0), (workers["maxReplicas"], -1)):
        replicas = int(args["replicas"].split("-")[end])
        assert len(catalog()) * replicas * args["cpus"] + DOOR_CPUS <= most * cpus
    many = tuple(f"entry{number}" for number in range(kuberay.MOST_ENTRIES + 1))
    assert kuberay.service(wanted.model_copy(update={"entries": many[1:]}))
    with pytest.raises(UserError, match="ENTRIES: 39 are more than workers have room for, 38"):
        kuberay.service(wanted.model_copy(update={"entries": many}))


def test_kuberay_finds_its_pods_and_their_ports_want_a_token() -> None:
    cluster = FILES["kuberay.yaml"]["spec"]["rayClusterConfig"]
    assert cluster["authOptions"] == {"mode": "token"}
    for pod in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert "app.kubernetes.io/name" not in pod["template"]["metadata"]["labels"]  # KubeRay selects by its own


def test_ray_reads_the_configuration_of_serve() -> None:
    schema = pytest.importorskip("ray.serve.schema", reason="Ray is not installed")
    config = inside(FILES["kuberay.yaml"])["spec"]["serveConfigV2"]
    read = schema.ServeDeploySchema.model_validate(config)
    module, _, name = read.applications[0].import_path.partition(":")
    application = import_module(module)
    [arguments] = inspect.signature(getattr(application, name)).parameters.values()
    assert arguments.annotation.model_validate(config["applications"][0]["args"]).entries is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no manifest: it has no kind"),
        ("- 1", "no manifest: it has no kind"),
        ("a: [", "not one document of YAML"),
        ("kind: A\n---\nkind: B\n", "not one document of YAML"),
        ("kind: Pot", "no schema for the kind 'Pot'"),
    ],
)
def test_a_file_that_is_no_manifest_is_named(
    content: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.yaml").write_text(content)
    with pytest.raises(SystemExit):
        validate.main(tmp_path)
    assert f"{tmp_path / 'mine.yaml'}:" in (error := capsys.readouterr().err)
    assert message in error


def test_a_version_that_a_crd_has_not_is_an_error(tmp_path: Path) -> None:
    crd = {"kind": "CustomResourceDefinition", "spec": {"group": "ray.io", "names": {"kind": "RayService"}}}
    crd["spec"]["versions"] = [{"name": "v2"}]  # type: ignore[index]
    (tmp_path / "kuberay.yaml").write_text(yaml.safe_dump(crd))
    with pytest.raises(UserError, match=r"the CRD of RayService has no version ray\.io/v1"):
        validate.published(tmp_path, "RayService", "ray.io/v1")
