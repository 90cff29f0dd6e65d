"""Real servers against hundreds of requests that are wrong: each is answered, and no worker dies of one."""

import json
import re
import socket
import time
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults.bombs import BOMBS
from tests.faults.conftest import Reliability
from tests.faults.garbage import BODIES, GENERATION_REQUESTS, KINDS, noise, pictures
from tests.faults.small_zoo import EXPLANATIONS, PREDICTIONS, Served, serving
from tests.images import file_of
from tests.servers import SERVED_BY

pytestmark = [pytest.mark.thorough, pytest.mark.server]

PATHS = (*PREDICTIONS.values(), EXPLANATIONS)
CLASSIFIER, GENERATOR = PATHS[:2]
PLAIN, FORMS, MALFORMED = 450, 150, 60
"""How many requests of each sort."""

INSIDE = re.compile(r"Traceback|\.py\b|0x[0-9a-f]{8,}|site-packages|java\.|pytorch\.serve|\tat ")
"""What a caller has no business to see."""

BOMBS_SENT = (
    "a PNG of 49 million pixels with alpha, whole",
    "a JPEG with 100,000 scans",
    "a TIFF with 1.6 million strips",
    "a TIFF with a tile of two billion pixels",
    "a GIF with 600,000 frames",
    "a picture, and 10 MB of nothing behind it",
    "10 MB of noise",
)
"""The others are tried in process only."""

BROKEN = [
    ("multipart/form-data; boundary=", b"--x--\r\n"),
    ("multipart/form-data; boundary=x", b"--x\r\n\r\n"),
    ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="a"; filename="b'),
    ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: nonsense\r\n\r\n1\r\n--x--\r\n"),
    (
        "multipart/form-data; boundary=x; charset=x",
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--',
    ),
    ("application/x-www-form-urlencoded", b"a=%zz"),
    ("application/x-www-form-urlencoded", b"%"),
]
"""Forms that cannot be taken to pieces."""


@pytest.fixture(scope="module", params=SERVED_BY)
def served(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("garbage"), request.param) as served:
        yield served


@pytest.fixture(scope="module")
def http(served: Served) -> Iterator[httpx.Client]:
    with served.http() as http:
        yield http


@pytest.fixture(autouse=True)
def unharmed(served: Served, http: httpx.Client) -> Iterator[None]:
    """After each test the same workers say the same of the same picture."""
    good = {"content": file_of(noise()), "headers": {"Content-Type": "image/png"}}
    workers, answer = served.workers(), http.post(CLASSIFIER, **good).json()  # type: ignore[arg-type]
    assert len(workers) == 2
    assert "probabilities" in answer
    yield
    assert served.workers() == workers
    assert http.post(CLASSIFIER, **good).json() == answer  # type: ignore[arg-type]


def decent(answer: httpx.Response) -> None:
    """An answer for people: of a status that is promised, in JSON, with a reason and nothing of the inside."""
    assert answer.status_code in {200, 400, 413}, answer.text
    assert not INSIDE.search(answer.text), answer.text
    body = answer.json()
    if answer.status_code != 200:
        assert set(body) == {"code", "type", "message"}
        assert body["code"] == answer.status_code
        assert 0 < len(body["message"]) < 700


def listed(seen: Counter[int]) -> str:
    return ", ".join(f"{seen[status]} x {status}" for status in sorted(seen))


def test_garbage_is_answered(http: httpx.Client, reliability: Reliability) -> None:
    row = reliability.row(
        "random bytes, random JSON and damaged pictures, over HTTP", "200, 400 or 413 with the reason"
    )
    seen: Counter[int] = Counter()

    @settings(max_examples=PLAIN, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(PATHS), BODIES, KINDS)
    def answered(path: str, content: bytes, kind: str) -> None:
        answer = http.post(path, content=content, headers={b"Content-Type": kind.encode()} if kind else {})
        decent(answer)
        seen[answer.status_code] += 1

    answered()
    row.tried, row.seen = sum(seen.values()), listed(seen)
    assert row.tried >= PLAIN
    assert {200, 400} <= set(seen)  # what is all refused proves little


def test_nearly_right_requests_and_forms_are_answered(http: httpx.Client, reliability: Reliability) -> None:
    row = reliability.row(
        "nearly right JSON and whole forms of odd fields, over HTTP", "200, 400 or 413 with the reason"
    )
    seen: Counter[int] = Counter()
    names = st.sampled_from(["image", "class", "größe", "body", "explain", "content-type", 'a"b\\'])
    kinds = st.sampled_from(["image/png", "", "application/json", "text/plain"])
    fields = st.lists(
        st.tuples(names, st.tuples(st.none() | names, pictures() | st.binary(max_size=9), kinds)), max_size=4
    )

    @settings(max_examples=FORMS, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(PATHS), fields.filter(bool) | GENERATION_REQUESTS)
    def answered(path: str, sent: object) -> None:
        request = isinstance(sent, dict)
        answer = http.post(GENERATOR, content=json.dumps(sent)) if request else http.post(path, files=sent)  # type: ignore[arg-type]
        decent(answer)
        seen[answer.status_code] += 1

    answered()
    row.tried, row.seen = sum(seen.values()), listed(seen)
    assert row.tried >= FORMS
    assert {200, 400} <= set(seen)


@pytest.mark.parametrize("name", BOMBS_SENT)
def test_bombs_are_answered_in_time(name: str, http: httpx.Client, reliability: Reliability) -> None:
    row = reliability.row(f"{name}, over HTTP", "an answer before the server gives the worker up (60 s)")
    make, codes = BOMBS[name]
    content = make()
    began = time.monotonic()
    answer = http.post(CLASSIFIER, content=content, headers={"Content-Type": "image/png"}, timeout=60)
    row.tried, row.seen = 1, f"{answer.status_code} in {time.monotonic() - began:.1f} s"
    decent(answer)
    assert answer.status_code in codes


def test_forms_that_cannot_be_taken_to_pieces(served: Served, http: httpx.Client, reliability: Reliability) -> None:
    row = reliability.row(
        "forms that cannot be taken to pieces",
        "400 with the reason (TorchServe gives some a 500 with its own words, which we cannot change); no worker hears "
        "of it",
    )
    seen: Counter[int] = Counter()
    for number in range(MALFORMED):
        kind, content = BROKEN[number % len(BROKEN)]
        answer = http.post(PATHS[number % len(PATHS)], content=content, headers={"Content-Type": kind})
        seen[answer.status_code] += 1
        body = answer.json()
        assert set(body) == {"code", "type", "message"}
        assert body["code"] == answer.status_code
        own = served.runtime == "torchserve" and body["type"].endswith("Exception")
        assert answer.status_code == 400 or own, answer.text
        assert not re.search(r"Traceback|\tat |\.py\b", answer.text)
    row.tried, row.seen = MALFORMED, listed(seen)


HEAD = b"POST " + CLASSIFIER.encode()
WIRE = {
    "no HTTP at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc" + bytes(60) + b"\r\n\r\n",
    "no version of HTTP": HEAD + b"\r\n\r\n",
    "two lengths": HEAD + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a length below 0": HEAD + b" HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "a length of 100 GB": HEAD + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n",
    "a chunk of no length": HEAD + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a header of 100 kB": HEAD + b" HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    "a path of 100 kB": b"POST /predictions/" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a zero in the path": b"POST /\0 HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("name", WIRE)
def test_broken_http_is_answered(name: str, served: Served, reliability: Reliability) -> None:
    row = reliability.row(f"{name}, on the wire", "an answer of 4xx, or an end of the connection")
    with socket.create_connection(("127.0.0.1", served.port), 10) as wire:
        wire.settimeout(10)
        wire.sendall(WIRE[name])
        try:
            status = wire.recv(4000).partition(b"\r\n")[0].decode()
        except ConnectionResetError:
            status = ""
    row.tried, row.seen = 1, status or "closed"
    assert re.fullmatch(r"(HTTP/1\.[01] 4\d\d .*)?", status)


@pytest.mark.parametrize("extra", [1, 10_000_000])
def test_a_body_over_the_limit_is_refused(extra: int, http: httpx.Client, reliability: Reliability) -> None:
    row = reliability.row(f"a body of 10 MB and {extra:,} bytes", "413, before a worker hears of it")
    answer = http.post(CLASSIFIER, content=bytes(10_000_000 + extra), headers={"Content-Type": "image/png"})
    row.tried, row.seen = 1, str(answer.status_code)
    assert answer.status_code == 413
