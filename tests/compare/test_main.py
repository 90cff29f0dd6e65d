"""The commands `predict` and `explain`, as people type them."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

import compare.__main__ as command
from compare import client
from lesions.labels import NOTICE
from tests.scripted_server import ScriptedServer, answer_of


@pytest.fixture
def predict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`python -m compare predict` against versions baseline and gan_2, which give `answers` in turn."""
    (tmp_path / "mole.jpg").write_bytes(b"picture")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LESION_ZOO_ROOT", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")

    def run(arguments: list[str], *answers: httpx.Response | Exception) -> Any:
        rows = httpx.Response(200, json=[{"modelVersion": "baseline"}, {"modelVersion": "gan_2"}])
        server = ScriptedServer(tmp_path, rows, *answers)
        monkeypatch.setattr(command, "connect", lambda study, port: server.zoo() if port else client.connect(study))
        return CliRunner().invoke(command.app, ["predict", *arguments])

    return run


def test_predict_shows_every_version_and_the_notice(predict: Callable[..., Any]) -> None:
    done = predict(["mole.jpg", "--port", "8080"], answer_of(), answer_of(entry="baseline"))
    assert done.exit_code == 0
    assert "baseline" in done.output
    assert "gan_2" in done.output
    assert "0.40" in done.output
    assert "melanoma" in done.output
    assert done.output.strip().endswith(NOTICE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mole.jpg"], "error: no server of the study phantom-demo is running; start it: make serve\n"),
        (["none.jpg", "--port", "8080"], "error: none.jpg: No such file or directory\n"),
        (["mole.jpg", "--port", "8080", "--entry", "x"], "error: no entry 'x' is served; there are: baseline, gan_2\n"),
        (["mole.jpg", "--port", "8080"], "error: the image is damaged\n"),
    ],
)
def test_a_mistake_is_one_line(predict: Callable[..., Any], arguments: list[str], message: str) -> None:
    done = predict(arguments, httpx.Response(400, json={"code": 400, "message": "the image is damaged"}))
    assert (done.exit_code, done.output) == (2, message)


def test_the_explain_command_writes_an_overlay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mole.jpg").write_bytes(b"picture")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LESION_ZOO_ROOT", str(tmp_path))
    default = httpx.Response(200, json=[{"modelVersion": "gan_2"}])
    overlay = httpx.Response(200, json={"overlay": base64.b64encode(b"a png").decode(), "blank": False})
    server = ScriptedServer(tmp_path, default, answer_of(), overlay)
    monkeypatch.setattr(command, "connect", lambda study, port: server.zoo())
    done = CliRunner().invoke(command.app, ["explain", "mole.jpg", "--port", "8080"])
    assert done.exit_code == 0, done.output
    file = Path("reports/phantom-demo/explained/mole_gan_2_mel.png")
    assert file.read_bytes() == b"a png"
    assert "gan_2 predicts mel; the bright places speak for mel (probability 0.40)" in done.output
    assert done.output.endswith(NOTICE + "\n")
    assert b"\r\n\r\nmel\r\n" in server.requests[-1].content
    refusal = httpx.Response(400, json={"code": 400, "message": "no class 'wart'; there are: akiec"})
    server = ScriptedServer(tmp_path, default, answer_of(), refusal)
    done = CliRunner().invoke(command.app, ["explain", "mole.jpg", "--port", "8080", "--class", "wart"])
    assert (done.exit_code, done.output) == (2, "error: no class 'wart'; there are: akiec\n")
