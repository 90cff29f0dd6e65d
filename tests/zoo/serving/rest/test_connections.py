"""Connections: as many as the system allows, and none that waits for ever for the rest of a request."""

import logging
import resource
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from tests.servers import free_ports
from zoo.serving.rest.connections import MOST_FILES, UVICORN, TimedProtocol

TIMEOUT = 1
HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[uvicorn.Server]:
    async def count(scope: Scope, receive: Receive, send: Send) -> None:
        early = scope["path"] == "/early"
        body = b"" if early else await Request(scope, receive).body()
        size = scope["path"].removeprefix("/bytes/")
        content = "x" * int(size) if size.isdecimal() else str(len(body))
        await PlainTextResponse(content)(scope, receive, send)

    usual = {**UVICORN, "lifespan": "off", "log_config": None, "timeout_keep_alive": TIMEOUT}
    config = uvicorn.Config(count, port=free_ports(), **usual)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server
    server.should_exit = True
    thread.join()


@pytest.fixture
def port(server: uvicorn.Server) -> int:
    return server.config.port


def dripped(connection: socket.socket, content: bytes, seconds: float = 5 * TIMEOUT) -> bytes:
    """What is answered, while these bytes are sent one by one, over some seconds."""
    for byte in content:
        try:
            connection.sendall(bytes([byte]))
        except OSError:  # the other side has closed
            break
        time.sleep(seconds / len(content))
    return connection.recv(1000)


@pytest.mark.parametrize("begin", [b"", b"P", HEAD[:-4], HEAD + b"abcPOST"], ids=["none", "one", "most", "second"])
def test_a_head_that_does_not_come_whole_ends_the_connection(port: int, begin: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(begin)
        answer = b""
        while part := connection.recv(1000):
            answer += part
    assert answer.startswith(b"HTTP/1.1 200" if HEAD in begin else b"")
    assert answer.endswith(b"3" if HEAD in begin else b"")


def test_nor_does_one_that_drips(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        try:
            answer = dripped(connection, HEAD)
        except ConnectionError:
            answer = b""
        assert answer == b""


def protocol_of(server: uvicorn.Server, connection: socket.socket) -> TimedProtocol:
    """The server's side of a connection."""
    while True:
        for protocol in set(server.server_state.connections):
            assert isinstance(protocol, TimedProtocol)
            if protocol.client == connection.getsockname():
                return protocol
        time.sleep(0.01)


def test_the_time_begins_with_the_first_byte_of_a_head(server: uvicorn.Server, port: int) -> None:
    def sent(content: bytes) -> float:
        """When the connection ends, after these bytes have come."""
        before = len(protocol.conn.trailing_data[0])
        connection.sendall(content)
        while len(protocol.conn.trailing_data[0]) == before:
            time.sleep(0.01)
        time.sleep(0.1)
        task = protocol.timeout_keep_alive_task
        assert task is not None
        return task.when()

    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        protocol = protocol_of(server, connection)
        protocol.timeout_keep_alive = 60
        first = sent(HEAD[:1])
        assert first > protocol.loop.time() + 50
        assert sent(HEAD[1:9]) == first


def test_a_reset_connection_is_forgotten_at_once(server: uvicorn.Server, port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(HEAD[:9])
        protocol = protocol_of(server, connection)
        assert protocol.timeout_keep_alive_task is not None
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset at its end
    while protocol in server.server_state.connections:
        time.sleep(0.01)
    assert protocol.timeout_keep_alive_task is None


def test_a_body_may_take_its_time(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(HEAD)
        assert dripped(connection, b"abc").startswith(b"HTTP/1.1 200")


def test_nor_does_the_rest_of_a_body_that_was_answered_early(port: int) -> None:
    head = HEAD.replace(b"POST /", b"POST /early").replace(b"3", b"1000")
    for drips in (1, 10):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(head + b"x")
            assert connection.recv(1000).startswith(b"HTTP/1.1 200")
            begun = time.monotonic()
            with suppress(ConnectionError):
                dripped(connection, b"x" * drips, 3 * TIMEOUT if drips > 1 else 0)
                assert connection.recv(1000) == b""
            assert time.monotonic() - begun < 10 * TIMEOUT


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the option")
@pytest.mark.parametrize(("size", "requests"), [(10_000_000, 1), (100_000, 200)], ids=["large", "many"])
def test_nor_do_answers_that_nobody_reads(server: uvicorn.Server, port: int, size: int, requests: int) -> None:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", port))
        protocol = protocol_of(server, connection)
        connection.sendall(requests * f"GET /bytes/{size} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        begun = time.monotonic()
        while protocol in server.server_state.connections:
            time.sleep(0.1)
            assert time.monotonic() - begun < 30 * TIMEOUT


def test_what_is_no_http_after_an_early_answer(port: int, caplog: pytest.LogCaptureFixture) -> None:
    head = b"POST /early HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head + b"1\r\nx\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        connection.sendall(b"zz\r\n")
        while connection.recv(1000):
            pass
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_rest_that_comes_is_followed_by_the_next_request(server: uvicorn.Server, port: int) -> None:
    def sent(content: bytes) -> float:
        """When the connection ends, after these bytes have come."""
        before = protocol.timeout_keep_alive_task
        connection.sendall(content)
        while (task := protocol.timeout_keep_alive_task) in (before, None):
            time.sleep(0.01)
        assert task is not None
        return task.when()

    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        protocol = protocol_of(server, connection)
        protocol.timeout_keep_alive = 60
        first = sent(HEAD.replace(b"POST /", b"POST /early") + b"x")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        assert sent(b"y") == first
        assert sent(b"z") > first
        sent(HEAD + b"abc")
        assert b"HTTP/1.1 200" in connection.recv(1000)


def test_as_many_files_as_the_system_allows() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    script = """
import resource
from zoo.serving.rest.connections import allow_many
resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
allow_many()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(min(hard, MOST_FILES)), str(hard)]
