"""A study with two served versions, and its commands."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import compare.__main__ as command
from tests.compare.study_server import StudyServer


@pytest.fixture
def study_server(tmp_path: Path, tiny: Path) -> StudyServer:
    return StudyServer(tmp_path, tiny)


@pytest.fixture
def run(study_server: StudyServer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`python -m compare` in the root of the study, against its stand-in server."""
    monkeypatch.chdir(study_server.folders.root)
    monkeypatch.setenv("LESION_ZOO_ROOT", str(study_server.folders.root))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(command, "connect", lambda study, port: study_server.zoo())
    monkeypatch.setattr("zoo.metrics.bootstrap.RESAMPLES", 200)
    monkeypatch.setattr("zoo.metrics.bootstrap.PAIRED_RESAMPLES", 200)

    def command_line(*arguments: str) -> Any:
        offline = arguments[0] in ("report", "ab")
        return CliRunner().invoke(
            command.app, [*arguments, "--study", "tiny", *([] if offline else ["--port", "8080"])]
        )

    return command_line
