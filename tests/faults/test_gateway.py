"""The gateway under a crowd: garbage, slow clients and clients that hang up among them; and without its runtime."""

import asyncio
import random
import time
from collections import Counter
from typing import Any

import httpx
import psutil
import pytest

from gateway import process
from gateway.keys import Keys
from lesions.labels import CLASSES
from tests.faults.conftest import Reliability
from tests.faults.serving import Served
from zoo.serving.runtime import LOOPBACK

pytestmark = [pytest.mark.thorough, pytest.mark.server, pytest.mark.slow]

CLIENTS, SECONDS, WARM, STRANGE = 300, 60, 15, 0.05
BAD = (b"hello", b"", b"\xff\xd8\xff\xe0 no picture", b'{"image": 1}', b"GIF89a")


class Crowd:
    """So many clients, each asking `baseline` again as soon as it has its answer; some of them behave strangely."""

    def __init__(self, served: Served) -> None:
        self.served, self.port = served, int(served.settings["GATEWAY_PORT"])
        keys = Keys(served.checkout.folder / "keys" / "api_keys.json")
        self.headers = {"Authorization": f"Bearer {keys.add(f'crowd{time.time_ns()}', ['classify'], '900000/minute')}"}
        self.outcomes: Counter[str] = Counter()

    async def ask(self, client: httpx.AsyncClient, content: bytes) -> httpx.Response:
        """The answer, after as many 503 with Retry-After as there are."""
        while True:
            answer = await client.post("/v1/classify/baseline", content=content)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or "Retry-After" not in answer.headers:
                return answer
            self.outcomes["503 on the way"] += 1
            await asyncio.sleep(float(answer.headers["Retry-After"]))

    async def strange(self, client: httpx.AsyncClient, chance: random.Random, content: bytes) -> None:
        kind = chance.choice(["garbage", "slow", "hang up"])
        if kind == "garbage":
            answer = await self.ask(client, chance.choice(BAD))
            self.outcomes["garbage refused" if answer.status_code == 422 else f"garbage: {answer.text}"] += 1
            return
        reader, writer = await asyncio.open_connection(LOOPBACK, self.port)
        head = f"POST /v1/classify/baseline HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n"
        writer.write((head + f"Authorization: {self.headers['Authorization']}\r\n\r\n").encode())
        half = len(content) // 2
        writer.write(content[:half])
        if kind == "slow":
            await asyncio.sleep(3)  # that is the fault
            writer.write(content[half:])
            status = (await reader.readline()).decode()
            right = any(f" {code} " in status for code in (200, 503))
            self.outcomes["slow answered" if right else f"slow: {status}"] += 1
        else:
            self.outcomes["hung up"] += 1
        writer.close()

    async def client(self, number: int, end: float) -> None:
        chance = random.Random(number)
        async with httpx.AsyncClient(
            base_url=f"http://{LOOPBACK}:{self.port}", headers=self.headers, timeout=90, trust_env=False
        ) as client:
            while time.monotonic() < end:
                image = chance.choice(list(self.served.pictures))
                content = self.served.pictures[image]
                if chance.random() < STRANGE:
                    await self.strange(client, chance, content)
                    continue
                answer = await self.ask(client, content)
                right = answer.status_code == 200 and self.served.is_right(answer.json(), image, "baseline")
                self.outcomes["right" if right else f"{answer.status_code}: {answer.text:.200}"] += 1

    async def run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        await asyncio.gather(*(self.client(number, end) for number in range(CLIENTS)))


def processes(served: Served) -> list[psutil.Process]:
    return [*served.processes(), *process.processes_of(served.folder)]


def memory(served: Served) -> float:
    """MiB of the gateway, the runtime and its workers."""
    return float(sum(one.memory_full_info().pss for one in processes(served))) / 2**20


def test_a_crowd(served: Served, reliability: Reliability) -> None:
    row = reliability.row(
        f"{CLIENTS} clients at once for {SECONDS} s through the gateway, {STRANGE:.0%} of what they send garbage, or "
        "slow, or cut off",
        "no wrong answer and no 5xx but 503 with Retry-After, after which the client gets through; memory after is "
        "within 10 % of before",
    )
    asyncio.run(Crowd(served).run(WARM))
    before, crowd = memory(served), Crowd(served)
    asyncio.run(crowd.run(SECONDS))
    after, outcomes = memory(served), crowd.outcomes
    row.tried = sum(outcomes.values()) - outcomes["503 on the way"]
    assert outcomes.keys() <= {"right", "garbage refused", "slow answered", "hung up", "503 on the way"}
    assert all(outcomes[kind] for kind in ("right", "garbage refused", "slow answered", "hung up", "503 on the way"))
    assert abs(after / before - 1) < 0.10, f"{before:.0f} MiB before, {after:.0f} MiB after"
    counts = ", ".join(f"{outcome}: {number:,}" for outcome, number in sorted(outcomes.items()))
    row.seen = f"{counts}; {before:.0f} MiB before, {after:.0f} MiB after"


def test_the_runtime_is_killed(served: Served, reliability: Reliability) -> None:
    row = reliability.row(
        "the runtime behind the gateway killed, while it is asked",
        "with TorchServe: 503 with Retry-After at once, and right answers again when it serves again; `local` is one "
        "process with the gateway: no connection, until `make serve`",
    )
    crowd, statuses = Crowd(served), Counter[Any]()
    url = f"http://{LOOPBACK}:{crowd.port}/v1/classify/baseline"
    image = next(iter(served.pictures))
    with httpx.Client(headers=crowd.headers, timeout=90, trust_env=False) as client:

        def ask() -> httpx.Response | None:
            try:
                return client.post(url, content=served.pictures[image])
            except httpx.TransportError:
                return None

        served.server.kill()  # that is the fault
        for _ in range(20):
            row.tried += 1
            answer = ask()
            statuses[answer and answer.status_code] += 1
            if served.runtime == "torchserve":
                assert answer is not None
                assert answer.status_code == 503, answer.text
                assert int(answer.headers["Retry-After"]) > 0
            else:
                assert answer is None
        served.start()
        answer = ask()
        assert answer is not None
        assert answer.status_code == 200, answer.text
        assert max(answer.json()["probabilities"], key=answer.json()["probabilities"].get) in CLASSES
        assert served.is_right(answer.json(), image, "baseline")
    row.seen = ", ".join(f"{status or 'no connection'}: {number}" for status, number in statuses.items())
    row.seen += "; then a right answer"
