"""More requests than the queue holds, garbage among them; slow clients, and clients that hang up."""

import concurrent.futures
import http.client
import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from compare.client import Zoo
from tests.faults.checkout import wait_for
from tests.faults.conftest import Reliability
from tests.faults.serving import MODEL, Counting, Served
from zoo.serving.http import ServerError

pytestmark = [pytest.mark.thorough, pytest.mark.server, pytest.mark.slow]

CLIENTS, SECONDS, GARBAGE = 200, 60, 0.05
WARM = 15
"""Seconds of the same before, after which memory should grow no more."""

BAD = (b"hello", b"", b"\xff\xd8\xff\xe0 no picture", b'{"image": 1}', b"GIF89a")


class Outcomes(Counter[str]):
    """What became of the questions of a crowd."""

    def __init__(self) -> None:
        super().__init__()
        self._alone = threading.Lock()

    def note(self, outcome: str) -> None:
        with self._alone:
            self[outcome] += 1


def crowd(served: Served, network: Counting, seconds: float) -> Outcomes:
    """So many clients, each asking `baseline` again as soon as it has its answer, some of them for nonsense."""
    end, outcomes, images = time.monotonic() + seconds, Outcomes(), list(served.pictures)

    def ask(zoo: Zoo, number: int) -> None:
        chance = random.Random(number)
        while time.monotonic() < end:
            bad, image = chance.random() < GARBAGE, chance.choice(images)
            try:
                answer = zoo.classify(chance.choice(BAD) if bad else served.pictures[image], "baseline")
            except ServerError as error:
                outcomes.note("garbage refused" if bad and error.code == 400 else f"{bad=}: {error}")
            else:
                right = not bad and served.is_right(answer, image, "baseline")
                outcomes.note("right" if right else f"{bad=}, {image}: {answer}")

    with served.zoo(tries=20, transport=network) as zoo, concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        for one in [pool.submit(ask, zoo, number) for number in range(CLIENTS)]:
            one.result()
    return outcomes


def test_more_than_the_queue_holds(served: Served, reliability: Reliability) -> None:
    row = reliability.row(
        f"{CLIENTS} clients at once for {SECONDS} s, {GARBAGE:.0%} of what they send garbage",
        "no good request gets a wrong answer or none; 503 comes from the full queue alone, and the client that asks "
        "again gets through; memory after is within 10 % of before",
    )
    crowd(served, Counting(), WARM)  # the first requests make the server and its workers what they are
    before, network = served.memory(), Counting()
    outcomes = crowd(served, network, SECONDS)
    row.tried = sum(outcomes.values())
    after = served.memory()
    assert outcomes.keys() == {"right", "garbage refused"}
    assert network.statuses.keys() <= {200, 400, 503}
    assert network.statuses[503] > 0, "the queue was never full: nothing was tried"
    torchserve, ours = "has no worker to serve inference request", "requests wait for baseline already"
    reason = torchserve if served.runtime == "torchserve" else ours
    assert all(reason in output for output in network.refusals), network.refusals
    assert abs(after / before - 1) < 0.10, f"{before:.0f} MiB before, {after:.0f} MiB after"
    row.seen = (
        f"{outcomes['right']:,} right answers, {outcomes['garbage refused']:,} refusals of garbage (400), "
        f"{network.statuses[503]:,} times 503 on the way; {before:.0f} MiB before, {after:.0f} MiB after"
    )


def request(served: Served, image: str) -> bytes:
    """An HTTP request with a picture, as bytes on a wire."""
    with served.zoo() as zoo:
        request = next(zoo.server.auth.sync_auth_flow(httpx.Request("GET", zoo.url)))
    lines = (
        f"POST /predictions/{MODEL}/baseline HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: {request.headers['Authorization']}",
        "Content-Type: image/jpeg",
        f"Content-Length: {len(served.pictures[image])}",
    )
    return "\r\n".join((*lines, "", "")).encode() + served.pictures[image]


@contextmanager
def connected(served: Served) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as connection:
        yield connection


def test_slow_clients(served: Served, reliability: Reliability) -> None:
    row = reliability.row(
        "clients that send a picture in 40 parts over 8 s", "others are answered meanwhile; they are, too, in the end"
    )
    image = next(iter(served.pictures))
    whole, slow = request(served, image), 20
    part = -(-len(whole) // 40)

    def drip() -> tuple[int, bytes]:
        with connected(served) as connection:
            for begin in range(0, len(whole), part):
                connection.sendall(whole[begin : begin + part])
                time.sleep(0.2)  # that is the fault
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            return answer.status, answer.read()

    with concurrent.futures.ThreadPoolExecutor(slow) as pool, served.zoo(seconds=5, tries=1) as zoo:
        dripping = [pool.submit(drip) for _ in range(slow)]
        longest, others = 0.0, 0
        while not any(one.done() for one in dripping):
            began = time.monotonic()
            served.ask(zoo, others, "baseline")
            longest, others = max(longest, time.monotonic() - began), others + 1
        for one in dripping:
            status, body = one.result()
            assert status == 200
            assert served.is_right(json.loads(body), image, "baseline")
            row.tried += 1
    assert others > 20
    row.seen = f"{others} others were answered rightly meanwhile, within {longest:.2f} s; then all {slow} slow ones"


def test_clients_that_hang_up(served: Served, reliability: Reliability) -> None:
    row = reliability.row(
        "clients that hang up: in the middle of a picture, or before the answer",
        "others are answered; no worker dies, and no connection is kept",
    )
    image = next(iter(served.pictures))
    whole, worker, times = request(served, image), served.worker("baseline"), 200
    server = served.server
    with served.zoo() as zoo:
        served.ask(zoo, 0, "baseline")
        before = server.num_fds()
        for number in range(times):
            with connected(served) as connection:
                connection.sendall(whole[: len(whole) // 2] if number % 2 else whole)
            if number % 20 == 0:
                served.ask(zoo, number, "baseline")
            row.tried += 1
        served.ask(zoo, 1, "baseline")
        wait_for(lambda: server.num_fds() <= before + 5, "the end of connections that nobody uses")
    assert served.worker("baseline") == worker
    row.seen = f"so it was; open files of the server: {before} before, {server.num_fds()} after"
