"""Two real Ray nodes on this machine, one of which dies under load: no wrong answer, and none that is lost."""

import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import NamedTuple

import httpx
import psutil
import pytest

from gateway import start
from tests.faults.checkout import wait_for
from tests.faults.conftest import Reliability
from tests.faults.garbage import noise
from tests.faults.serving import is_gone
from tests.gateway.servers import Served, serving
from tests.images import file_of
from tests.ray_cluster import NODES, Cluster, missing
from zoo.serving.connection import RestServer
from zoo.serving.runtime import LOOPBACK, get_runtime

pytestmark = [pytest.mark.thorough, pytest.mark.server, pytest.mark.slow, pytest.mark.ray]

CLIENTS, SECONDS, KILLED_AFTER = 8, 60, 20
LONGEST = 30
"""Seconds after which the others must answer as fast as before, on a machine that is slow; seen are about 6."""
PICTURE = file_of(noise())


class Seen(NamedTuple):
    """What came of one request."""

    when: float
    """Seconds after the load began."""
    status: int
    body: str
    may_ask_again: bool


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    if missing():
        pytest.skip("Ray is not installed: pip install 'ray[serve]'")
    started = Cluster()
    try:
        started.start()
        yield started
    finally:
        started.stop()


@pytest.fixture
def served(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in cluster.environment.items():
            patch.setenv(name, value)
        with serving(tmp_path_factory.mktemp("nodes"), "ray", own={"replicas": "2", "cpus": "0.5"}) as served:
            yield served


def replicas(served: Served) -> dict[int, str]:
    """The node of each replica of `baseline` that is ready, by the replica's pid."""
    server = RestServer(served.settings.folder, served.settings.runtime_port)
    [row] = server.rows("lesion_classifier")
    server.close()
    return {worker["pid"]: worker["node"] for worker in row["workers"] if worker["status"] == "READY"}


def all_gone(pids: Iterable[int]) -> bool:
    """Whether none of these processes is left."""
    return all(is_gone(pid) for pid in pids)


def is_free(port: int) -> bool:
    """Whether a port of this machine can be had."""
    with socket.socket() as probe, suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((LOOPBACK, port))
        return True
    return False


def nodes(served: Served) -> Counter[str]:
    """How many of them each node has."""
    return Counter(replicas(served).values())


def load(served: Served, began: float, seen: list[Seen], alone: threading.Lock) -> None:
    """One client, which asks again as soon as it has its answer."""
    with served.http() as http:
        while time.monotonic() < began + SECONDS:
            answer: httpx.Response = http.post("/v1/classify/baseline", content=PICTURE)
            one = Seen(
                time.monotonic() - began, answer.status_code, answer.text, answer.headers.get("Retry-After") == "1"
            )
            with alone:
                seen.append(one)


def test_a_node_that_dies_under_load(cluster: Cluster, served: Served, reliability: Reliability) -> None:
    row = reliability.row(
        f"one of two Ray nodes killed (-9, all its processes) after {KILLED_AFTER} of {SECONDS} s of {CLIENTS} clients",
        "no wrong answer, and none lost: at most a 503 with Retry-After; as many images a second as before within 15 s",
    )
    assert nodes(served) == dict.fromkeys(NODES.values(), 1)
    with served.http() as http:
        right = http.post("/v1/classify/baseline", content=PICTURE).text
    seen: list[Seen] = []
    began, alone = time.monotonic(), threading.Lock()
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(load, served, began, seen, alone) for _ in range(CLIENTS)]
        time.sleep(KILLED_AFTER)
        assert cluster.kill_node("other") >= 2
        killed = time.monotonic() - began
        row.tried = 1
        for client in clients:
            client.result()
    outcomes = Counter(one.status for one in seen)
    assert {one.body for one in seen if one.status == 200} == {right}
    assert [one for one in seen if one.status != 200 and not (one.status == 503 and one.may_ask_again)] == []
    assert nodes(served) == {NODES["head"]: 2}
    rates = [sum(second <= one.when < second + 1 for one in seen) for second in range(SECONDS)]
    before = statistics.median(rates[5 : int(killed)])
    # Three seconds together, since a single one is noise where other programs run.
    recovered = next(
        (
            second - killed
            for second in range(int(killed) + 1, SECONDS - 3)
            if sum(rates[second : second + 3]) > 2.4 * before
        ),
        None,
    )
    assert recovered is not None
    assert recovered < LONGEST, rates
    row.seen = (
        f"{outcomes[200]:,} right answers, {outcomes[503]} times 503, no other; {before:.0f} images/s before, "
        f"80 % of that again {max(0.0, recovered):.0f} s after; then both replicas on the other node"
    )
    print(row.seen, rates)


def test_a_killed_server_on_a_cluster(served: Served, reliability: Reliability) -> None:
    row = reliability.row(
        "the server of `make serve` killed (-9) on a cluster",
        "`make serve` takes over, with new replicas; `make stop` leaves none of them",
    )
    before = replicas(served)
    assert len(before) == 2
    for again in (served.start, lambda: start.stop(served.settings.folder)):
        [server] = get_runtime("ray").processes(served.settings.folder)
        server.kill()
        wait_for(partial(is_gone, server.pid), "the end of the server")
        wait_for(partial(is_free, served.settings.port), "the end of its threads, which keep its ports")
        assert all(psutil.pid_exists(pid) for pid in before)
        again()
        row.tried += 1
        if row.tried == 1:
            wait_for(partial(all_gone, before), "the end of the old replicas", seconds=30)
            before = replicas(served)
            assert len(before) == 2
            with served.http() as http:
                assert http.post("/v1/classify/baseline", content=PICTURE).status_code == 200
    wait_for(partial(all_gone, before), "the end of the replicas", seconds=30)
    row.seen = "so it was"
