"""The client through a gateway: the same answers by a key, and errors with the gateway's own words."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from compare.client import through_gateway
from gateway.keys import Keys
from lesions.labels import CLASSES
from tests.faults.garbage import noise
from tests.gateway.servers import Served, serving
from tests.images import file_of
from zoo.kinds.generator import GENERATOR
from zoo.serving.http import NoServerError, ServerError

PICTURE = file_of(noise())
pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("gateway"), "local") as served:
        yield served


def test_it_answers_as_the_runtime_does(served: Served, tmp_path: Path) -> None:
    (tmp_path / "mole.png").write_bytes(PICTURE)
    with through_gateway(f"{served.url}/", served.key) as zoo:
        [version] = zoo.versions()
        answer = zoo.classify(tmp_path / "mole.png", version)
        assert sum(answer["probabilities"].values()) == pytest.approx(1)
        assert zoo.default() == version == answer["entry"]
        assert zoo.describe(version)["classes"] == list(CLASSES)
        assert zoo.explain(PICTURE, version, "mel").overlay.startswith(b"\x89PNG")
        [generator] = zoo.versions(GENERATOR.model)
        assert len(zoo.synthesize("nv", 3, 7, generator)) == 3
        assert zoo.grid("all", 1, 7, generator).startswith(b"\x89PNG")
        assert [row.name for row in zoo.server.status()] == [version, generator]
        with pytest.raises(ServerError, match="make promote"):
            zoo.set_default(version)


def test_errors_have_the_gateway_s_reason(served: Served) -> None:
    with through_gateway(served.url, served.key) as zoo:
        [version] = zoo.versions()
        with pytest.raises(ServerError, match="not an image of a supported format") as caught:
            zoo.classify(b"hello", version)
        assert caught.value.code == 422
        with pytest.raises(ServerError, match="nobody") as caught:
            zoo.classify(PICTURE, "nobody")
        assert caught.value.code == 404
    with through_gateway(served.url, "zoo_wrong") as zoo, pytest.raises(ServerError, match="key") as caught:
        zoo.versions()
    assert caught.value.code == 401
    slow = Keys(served.settings.keys).add("slow", ["classify"], "1/hour")
    with through_gateway(served.url, slow) as zoo:
        zoo.classify(PICTURE, "baseline")
        with pytest.raises(ServerError) as caught:
            zoo.classify(PICTURE, "baseline")
        assert caught.value.code == 429
    with through_gateway("http://127.0.0.1:9", "zoo_x") as zoo, pytest.raises(NoServerError, match="no server at"):
        zoo.versions()
