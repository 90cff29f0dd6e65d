"""Live experiments: shares are kept, and a shadow's faults change no answer."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import text

from gateway.events.database import connect, database_url
from gateway.start import stop
from tests.faults.checkout import wait_for
from tests.faults.conftest import Reliability
from tests.faults.crowd import OTHERS, PICTURE, Crowd, begin, end, written
from tests.gateway.moody import white_picture
from tests.gateway.servers import Served, serving
from tests.servers import SERVED_BY

pytestmark = [pytest.mark.thorough, pytest.mark.server, pytest.mark.slow]
CLIENTS = 20_000


@pytest.mark.parametrize("runtime", ["local"])
def test_20000_clients(tmp_path: Path, runtime: str, reliability: Reliability) -> None:
    row = reliability.row(
        f"{CLIENTS:,} clients, each asking twice, of an experiment with two arms, then with three; the server is "
        "started again in between",
        "each arm has its share of the clients within 1 %; each client gets the same arm both times",
    )
    with serving(tmp_path, runtime, others=OTHERS) as served, ThreadPoolExecutor(4) as pool:
        (served.settings.runs / "events.key").write_text("0" * 64)  # so that the hashes are the same each time
        seen = []

        def everybody() -> list[str]:
            crowd = Crowd(served, 0)
            with crowd:
                answers = pool.map(lambda number: crowd.ask(f"client-{number}"), range(CLIENTS))
                return [str(answer.raise_for_status().json()["entry"]) for answer in answers]

        for name, arms in (
            ("two", {"baseline": 0.9, "transfer": 0.1}),
            ("three", {"baseline": 0.5, "transfer": 0.3, "lite1": 0.2}),
        ):
            begin(served, name, arms)
            first = everybody()
            stop(served.settings.folder)
            served.start()
            second = everybody()
            row.tried += 2 * CLIENTS
            assert first == second
            shares = {one: count / CLIENTS for one, count in Counter(first).items()}
            assert shares.keys() == arms.keys()
            assert all(abs(shares[one] - share) < 0.01 for one, share in arms.items()), shares
            seen.append(f"{name}: " + ", ".join(f"{shares[one]:.2%} of {share:.0%}" for one, share in arms.items()))
            end(served, name)
        wait_for(lambda: len(written(database_url(served.settings.runs))) == row.tried, "all events", 30)
    row.seen = "; ".join(seen) + "; nobody changed the arm; an event of each answer"


@pytest.mark.parametrize("runtime", SERVED_BY)
def test_shadows_crash_and_sleep(tmp_path: Path, runtime: str, reliability: Reliability) -> None:
    row = reliability.row(
        "shadows that crash at a picture, or take a second for it"
        + ("; and the processes of shadows killed, or stopped (SIGSTOP)" if runtime == "torchserve" else ""),
        "every answer is there, and the same as without them; what shadows could not answer is counted",
    )
    white = white_picture()
    with serving(tmp_path, runtime, others={"crasher": "crash", "sleeper": "slow"}) as served, ExitStack() as stack:
        address = database_url(served.settings.runs)
        crowd = stack.enter_context(Crowd(served, 0))
        expected = {picture: crowd.ask("anna", picture).json()["probabilities"] for picture in (white, PICTURE)}
        begin(served, "unseen", {"baseline": 1.0}, shadows=("crasher", "sleeper"))

        def ask(times: int) -> None:
            for number in range(times):
                picture = (white, PICTURE)[number % 2]
                answer = crowd.ask("anna", picture)
                assert answer.status_code == 200, answer.text
                assert (answer.json()["entry"], answer.json()["probabilities"]) == ("baseline", expected[picture])
                row.tried += 1

        ask(100)
        if runtime == "torchserve":
            workers = [worker_of(served, name) for name in ("crasher", "sleeper")]
            workers[0].kill()  # that is the fault
            workers[1].suspend()
            try:
                ask(100)
            finally:
                workers[1].resume()
        wait_for(lambda: outcomes(address)["crasher", False], "the shadow to crash", 60)
        wait_for(lambda: outcomes(address)["crasher", True], "the shadow to answer", 60)
        wait_for(lambda: outcomes(address)["sleeper", True], "the slow shadow to answer", 60)
        wait_for(lambda: outcomes(address)["baseline", True] == row.tried + 2, "all events to be written", 30)
        assert not outcomes(address)["baseline", False]
        with served.http() as http:
            lines = [
                line for line in http.get("/metrics").text.splitlines() if line.startswith("gateway_shadows_total{")
            ]
    row.seen = f"{row.tried} right answers; shadows: " + ", ".join(
        f"{line.split('outcome=')[1].split(chr(34))[1]} {float(line.split()[-1]):.0f}" for line in lines
    )


def outcomes(address: str) -> Counter[tuple[str, bool]]:
    """How many answers there are, by version and success."""
    engine = connect(address)
    with engine.connect() as connection:
        rows: Any = connection.execute(text("SELECT arm, status FROM answers"))
        counts = Counter((str(arm), status == 200) for arm, status in rows)
    engine.dispose()
    return counts


def worker_of(served: Served, version: str) -> psutil.Process:
    """TorchServe's process that answers for a version."""
    from zoo.serving.connection import RestServer

    server = RestServer(served.settings.folder, served.settings.runtime_port, seconds=10)
    [row] = [row for row in server.rows("lesion_classifier") if row["modelVersion"] == version]
    server.close()
    return psutil.Process(int(row["workers"][0]["pid"]))
