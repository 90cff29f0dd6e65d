"""`python -m deploy.validate`: check the manifests beside this file against schemas, as a cluster would.

Unknown fields are errors, as with `--validate=strict`. What Kubernetes defines (metadata, pods) is checked against its
own published schemas, which the package kubernetes-validate has; the fields of KServe, KubeRay and Ray Serve against
`schemas/`, which has those that are used here. With `--crds FOLDER`, where the published CRDs are, the manifests are
checked against these as well, and `schemas/` must agree with them.
"""

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from lesions.errors import UserError, exit_on_user_error

HERE = Path(__file__).parent
KUBERNETES = "1.37.0"
"""Whose schemas are used."""
DEFINITIONS: dict[str, Any] = json.loads(
    files("kubernetes_validate")
    .joinpath("kubernetes-json-schema", f"v{KUBERNETES}-local-strict", "_definitions.json")
    .read_text()
)
REGISTRY: Registry[Any] = Resource.from_contents(DEFINITIONS) @ Registry()
BASE = "https://kubernetes.io/api/"
OBJECT_META = {"$ref": "/api/_definitions.json#/$defs/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}


def schema(name: str) -> dict[str, Any]:
    """One of `schemas/`, by its kind. Raises `UserError` for a kind that has none."""
    file = HERE / "schemas" / f"{name.lower()}.yaml"
    if not file.exists():
        raise UserError(f"no schema for the kind {name!r:.60}; there are: {', '.join(_names())}")
    contents: dict[str, Any] = yaml.safe_load(file.read_text())
    return contents


def problems(manifest: dict[str, Any], against: dict[str, Any] | None = None) -> list[str]:
    """What is wrong with a manifest, and where; against the schema of its kind, or another one."""
    try:
        wrong = list(_problems(manifest, against or schema(str(manifest.get("kind")))))
    except UserError as error:
        return [str(error)]
    serve_config = manifest.get("spec", {}).get("serveConfigV2") if isinstance(manifest.get("spec"), dict) else None
    if isinstance(serve_config, str):
        try:
            contents = yaml.safe_load(serve_config)
        except yaml.YAMLError as error:
            return [*wrong, f"spec.serveConfigV2: no YAML ({error})"]
        wrong += [f"spec.serveConfigV2: {problem}" for problem in _problems(contents, schema("ServeConfig"))]
    return wrong


def _problems(contents: Any, against: dict[str, Any]) -> Iterator[str]:
    validator = Draft202012Validator({"$id": f"{BASE}lesion-zoo", **against}, registry=REGISTRY)
    for error in validator.iter_errors(contents):
        yield f"{error.json_path.removeprefix('$').removeprefix('.') or 'the manifest'}: {error.message:.200}"


# ---- the published CRDs


def published(folder: Path, kind: str, version: str) -> dict[str, Any]:
    """The schema that a CRD in one of the folder's files has for a kind, closed. Raises `UserError`."""
    for file in sorted(folder.glob("*.yaml")):
        for document in yaml.load_all(file.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if document and document.get("kind") == "CustomResourceDefinition":
                spec = document["spec"]
                if spec["names"]["kind"] == kind:
                    found = next((one for one in spec["versions"] if f"{spec['group']}/{one['name']}" == version), None)
                    if found is None:
                        raise UserError(f"{file}: the CRD of {kind} has no version {version}")
                    contents: dict[str, Any] = close(found["schema"]["openAPIV3Schema"])
                    contents["properties"]["metadata"] = OBJECT_META
                    return contents
    raise UserError(f"{folder}: no file there has the CRD of {version} {kind}; deploy/README.md says where it is")


def close(node: Any) -> Any:
    """A structural schema in which fields that it does not name are errors, as the API server's strict check has it."""
    if isinstance(node, list):
        return [close(one) for one in node]
    if not isinstance(node, dict):
        return node
    closed = {key: close(value) for key, value in node.items()}
    if closed.get("type") == "object" and not closed.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    if closed.get("x-kubernetes-int-or-string"):
        closed["type"] = ["integer", "string"]
    return closed


def differences(ours: dict[str, Any], theirs: dict[str, Any], where: str = "") -> Iterator[str]:
    """Where a schema of `schemas/` has a field that the published one has not, or as another type."""
    if "$ref" in ours:
        return
    kind = "string" if isinstance(ours.get("const"), str) else ours.get("type")
    if kind != theirs.get("type"):
        yield f"{where or 'the manifest'}: {kind} here, {theirs.get('type')} in the CRD"
    if "enum" in ours and ours["enum"] != theirs.get("enum"):
        yield f"{where}: {ours['enum']} here, {theirs.get('enum')} in the CRD"
    for missing in set(theirs.get("required", [])) - set(ours.get("required", [])):
        yield f"{where}.{missing}: required by the CRD"
    for name, own in ours.get("properties", {}).items():
        at = f"{where}.{name}".removeprefix(".")
        if name not in theirs.get("properties", {}):
            yield f"{at}: not in the CRD"
        else:
            yield from differences(own, theirs["properties"][name], at)
    if isinstance(ours.get("items"), dict):
        yield from differences(ours["items"], theirs.get("items", {}), f"{where}[]")


@exit_on_user_error()
def main(
    folder: Annotated[Path, typer.Argument(help="Of the manifests.")] = HERE,
    crds: Annotated[Path | None, typer.Option(help="A folder with the published CRDs.")] = None,
) -> None:
    """Check every manifest of a folder. Fails at the first file that has something wrong, and says what."""
    manifests = sorted(folder.glob("*.yaml"))
    if not manifests:
        raise UserError(f"{folder}: no manifest there; write them: make manifests")
    for file in manifests:
        try:
            manifest = yaml.safe_load(file.read_text())
        except yaml.YAMLError as error:
            raise UserError(f"{file}: not one document of YAML ({' '.join(str(error).split()):.300})") from None
        if not isinstance(manifest, dict) or not isinstance(manifest.get("kind"), str):
            raise UserError(f"{file}: no manifest: it has no kind")
        wrong = problems(manifest)
        if crds and not wrong:
            crd = published(crds, manifest["kind"], manifest["apiVersion"])
            wrong += [f"by the CRD: {problem}" for problem in problems(manifest, crd)]
            wrong += [f"deploy/schemas: {one}" for one in differences(schema(manifest["kind"]), crd)]
        if wrong:
            raise UserError(f"{file}:\n" + "\n".join(f"  {problem}" for problem in wrong))
        print(f"{file.name}: valid" + (", by the published CRD, too" if crds else ""))


def _names() -> list[str]:
    return sorted(file.stem for file in (HERE / "schemas").glob("*.yaml"))


if __name__ == "__main__":
    typer.run(main)
