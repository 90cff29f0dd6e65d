"""Waiting for the versions of a server that is one process: by their progress."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from zoo.serving.http import ServerError
from zoo.serving.limits import limits
from zoo.serving.rest import runtime
from zoo.serving.rest.process import Program
from zoo.serving.rest.runtime import OneProcess
from zoo.serving.runtime import LOOPBACK, ServeRequest


@pytest.mark.parametrize(
    ("ready", "end"),
    [
        ({"baseline": 50, "transfer": 100, "gan_1": 150}, 150),
        ({"baseline": 50, "transfer": 100, "gan_1": float("inf")}, 160),
    ],
    ids=["late", "never"],
)
def test_versions_are_waited_for_as_long_as_they_come(
    ready: dict[str, float], end: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, halted = [0.0], []

    def pass_time(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(runtime, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=pass_time))
    monkeypatch.setattr(
        runtime, "read_outcomes", lambda folder: {name: "" for name, second in ready.items() if now[0] >= second}
    )
    monkeypatch.setattr(runtime, "_answers", lambda http, server: True)
    for name, result in (("read_state", {}), ("wanted", {}), ("launch", None)):
        monkeypatch.setattr(Program, name, lambda *arguments, result=result: result)
    monkeypatch.setattr(Program, "halt", lambda program, folder: halted.append(now[0]))
    monkeypatch.setattr(runtime, "runs_already", lambda state, wanted, folder: False)
    request = ServeRequest(tmp_path, 1, LOOPBACK, {}, limits(), seconds=60)
    versions = {f"{name}.mar": ("lesion_classifier", name) for name in ready}
    server = OneProcess(Program("local"))
    if end in ready.values():
        assert server.start(tmp_path, versions, request) == {}
    else:
        with pytest.raises(ServerError, match="the server is not ready in time"):
            server.start(tmp_path, versions, request)
        assert halted[-1] == now[0]  # nothing of it is left
    assert end <= now[0] <= end + 1
