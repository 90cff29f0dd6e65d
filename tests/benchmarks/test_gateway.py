"""What an experiment costs is measured with shadows that run, and not otherwise."""

from pathlib import Path

import pytest

from benchmarks import gateway
from gateway.experiments import files


def test_a_shadow_that_is_never_asked_is_no_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gateway, "APART", 0)
    monkeypatch.setattr(gateway, "PAUSE", 0)
    asked = 0

    def post(_: bytes) -> None:
        nonlocal asked
        running = files.read_all(tmp_path / files.FOLDER).running
        asked += bool(running and running[0].shadows)

    gateway._compare("local", post, lambda: asked, tmp_path, 2)  # type: ignore[arg-type]
    lines = capsys.readouterr().out.splitlines()
    assert [line.rpartition("; ")[2] for line in lines] == ["0 shadows", *["26 shadows"] * 3]
    with pytest.raises(SystemExit, match="an arm, a shadow: no shadow was asked"):
        gateway._compare("local", post, lambda: 0, tmp_path, 1)  # type: ignore[arg-type]
