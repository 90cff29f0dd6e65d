"""docs/openapi.yaml is a valid description, and says what the code says. Against a real server: tests/faults."""

import re
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import yaml

from compare import client
from gateway.description import Classification, Explanation, Synthesis
from lesions import images
from lesions.labels import CLASSES, NOTICE
from zoo.kinds import KINDS, MODELS
from zoo.kinds.base import Name
from zoo.kinds.classifier import CLASSIFIER
from zoo.serving import connection
from zoo.serving import generation as request
from zoo.serving.service import REASONS
from zoo.serving.torchserve.process import BASE

FILE = Path(__file__).parents[2] / "docs" / "openapi.yaml"


@pytest.fixture(scope="module")
def described() -> Any:
    return yaml.safe_load(FILE.read_text())


@pytest.fixture(scope="module")
def schemas(described: Any) -> Any:
    return described["components"]["schemas"]


def test_it_is_valid(described: Any) -> None:
    schemathesis.openapi.from_dict(described).validate()
    with pytest.raises(Exception, match='"info" is a required property'):
        schemathesis.openapi.from_dict({key: value for key, value in described.items() if key != "info"}).validate()


def test_every_call_of_the_client_is_described(described: Any) -> None:
    models = {kind.name.upper(): kind.model for kind in KINDS.values()}
    paths = {path.replace("{model}", CLASSIFIER.model) for path in described["paths"]}
    source = Path(client.__file__).read_text() + Path(connection.__file__).read_text()
    called = re.findall(r'\{self\.(?:url|_management)\}(/[^"?]*)', source)
    assert len(called) >= 7
    for path in called:
        path = re.sub(r"\{(\w+)\.model\}", lambda match: models[match[1]], path)
        path = re.sub(r"\{quote\(.*?\)\}", "{version}", path).replace("{model}", CLASSIFIER.model)
        if "{path}" not in path and "{call}" not in path:  # a helper's; the paths are in its callers
            assert path in paths, path
    called = re.findall(r'_get\(f?"([^"?]*)', source)
    assert {f"/{path.replace('{model}', CLASSIFIER.model)}" for path in called if "quote" not in path} <= paths
    for path in ("/predictions/lesion_classifier", "/explanations/lesion_classifier", "/predictions/lesion_generator"):
        assert {path, f"{path}/{{version}}"} <= paths


def test_classes_and_names_are_those_of_the_code(described: Any, schemas: Any) -> None:
    assert schemas["Class"]["enum"] == list(CLASSES)
    probabilities = schemas["Classification"]["properties"]["probabilities"]
    assert list(probabilities["properties"]) == probabilities["required"] == list(CLASSES)
    assert schemas["Drawing"]["properties"]["class"]["enum"] == [*CLASSES, request.ALL]
    assert schemas["Notice"]["const"] == NOTICE
    assert schemas["Name"]["pattern"] == Name.__metadata__[0].metadata[0].pattern  # type: ignore[attr-defined]
    models = described["components"]["parameters"]["model"]["schema"]["enum"]
    assert models == MODELS
    assert set(client.Answer.__annotations__) == set(schemas["Classification"]["properties"])


def setting(name: str) -> int:
    """A number in config.properties."""
    return int(re.findall(rf"^{name}=(\d+)$", BASE.read_text(), re.MULTILINE)[0])


@pytest.mark.parametrize("label", ["mel", request.ALL])
def test_limits_of_requests_are_those_of_the_code(schemas: Any, label: str) -> None:
    option = schemas["GenerationRequest"]["oneOf"][label == request.ALL]["properties"]
    assert option["count"]["maximum"] == request.MOST // (len(CLASSES) if label == request.ALL else 1)
    assert option["format"]["enum"] == list(request.FORMATS)
    assert option["first"]["maximum"] == request.LARGEST - 1
    defaults = {key: value["default"] for key, value in option.items() if "default" in value}
    assert request.parse({"body": {"class": label}}) == request.parse({"body": {"class": label} | defaults})
    for key in ("count", "seed", "first"):
        low, high = option[key]["minimum"], option[key]["maximum"]
        for edge in (low, high):
            request.parse({"body": {"class": label, key: edge}})
        for beyond in (low - 1, high + 1):
            with pytest.raises(request.InvalidRequest):
                request.parse({"body": {"class": label, key: beyond}})


def test_limits_of_pictures_are_those_of_the_code(described: Any) -> None:
    most = setting("max_request_size")
    for name in ("Picture", "PictureAndClass"):
        content = described["components"]["requestBodies"][name]["content"]
        kinds = {kind.removeprefix("image/").upper(): output for kind, output in content.items() if "image/" in kind}
        assert set(kinds) == set(images.FORMATS)
        assert {output["schema"]["maxLength"] for output in kinds.values()} == {most}
    output = " ".join(described["components"]["requestBodies"]["Picture"]["description"].split())
    for limit in (
        f"{most:,} bytes at most",
        f"{images.MIN_SIDE} pixels a side",
        f"{images.MAX_PIXELS:,} in all",
        f"{images.MAX_SCANS} scans",
        f"{images.SECONDS} seconds of processor time",
    ):
        assert limit in output
    refusals = described["components"]["responses"]
    assert f"{images.MAX_PIXELS:,} pixels" in refusals["TooLarge"]["description"]
    assert f"{setting('job_queue_size')} requests" in refusals["Busy"]["description"]
    assert f"{setting('token_expiration_min')} minutes" in described["info"]["description"]


def test_every_status_of_the_runtimes_is_described(described: Any) -> None:
    page = (FILE.parent / "serving.md").read_text().partition("\n## Classify\n")[2].partition("\n## ")[0]
    statuses = set(re.findall(r"^\| (\d{3}) \|", page, re.MULTILINE))
    assert "408" in statuses
    classified = described["paths"]["/predictions/lesion_classifier"]["post"]["responses"]
    drawn = described["paths"]["/predictions/lesion_generator"]["post"]["responses"]
    assert statuses == set(classified) - {"403"} | {"406"}
    assert set(drawn) == set(classified) | {"406"}


def test_the_gateway_s_answers_have_what_the_runtimes_answers_have(schemas: Any) -> None:
    for model, name in ((Classification, "Classification"), (Explanation, "Explanation"), (Synthesis, "Drawing")):
        assert set(model.model_json_schema()["properties"]) - {"id"} == set(schemas[name]["properties"])


def test_every_status_of_the_handlers_is_described(described: Any) -> None:
    for path, calls in described["paths"].items():
        if path.startswith("/explanations"):
            assert {str(code) for code in REASONS if code != 406} <= set(calls["post"]["responses"])
        elif path.startswith("/predictions"):
            never = {501} if "generator" in path else {406, 501}
            assert {str(code) for code in REASONS if code not in never} <= set(calls["post"]["responses"])
