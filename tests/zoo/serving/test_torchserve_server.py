"""Waiting for TorchServe's versions: by their progress."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from zoo.serving.limits import limits
from zoo.serving.runtime import LOOPBACK, ServeRequest
from zoo.serving.torchserve import server


def test_versions_that_come_late_are_waited_for_and_one_that_never_does_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = {"baseline": 50, "transfer": 100, "gan_1": 150, "views": float("inf")}
    now = [0.0]

    def pass_time(seconds: float) -> None:
        now[0] += seconds

    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=pass_time)
    monkeypatch.setattr(server, "time", clock)
    monkeypatch.setattr(server, "read_state", lambda folder: {})
    monkeypatch.setattr(server, "_ready", lambda rest: {})
    monkeypatch.setattr(
        server, "_failure", lambda http, url, folder, model, name, ready_now: "" if now[0] >= ready[name] else None
    )
    request = ServeRequest(tmp_path, 1, LOOPBACK, {}, limits(), seconds=60)
    failures = server._wait([("lesion_classifier", name) for name in ready], request)
    assert failures == {"views": f"no answer in time. see {tmp_path / 'logs' / 'model_log.log'}"}
    assert 210 <= now[0] <= 211
