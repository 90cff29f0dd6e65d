"""The commands `predict`, `explain` and `synthesize`, as people type them."""

import base64
import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from typer.testing import CliRunner

import compare.__main__ as command
from compare import client
from lesions.labels import CLASSES, NOTICE
from tests.scripted_server import ScriptedServer, answer_of
from zoo.study import ROOT


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
        (["mole.jpg", "--port", "8080"], "error: mole.jpg: the image is damaged\n"),
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


class Versions(ScriptedServer):
    """Two classifiers and a generator that answer by what they are sent: `damaged` is refused, all else is melanoma."""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path, content = request.url.path, request.read()
        self.requests.append(request)
        if path.endswith("/all"):
            names = ["sagan"] if "generator" in path else ["baseline", "gan_2"]
            return httpx.Response(200, json=[{"modelVersion": name} for name in names])
        if path.startswith("/models"):
            return httpx.Response(200, json=[{"modelVersion": "gan_2"}])
        picture = base64.b64encode(png()).decode()
        if "generator" in path:
            asked = json.loads(content)
            grid = asked.get("format") == "grid"
            return httpx.Response(200, json={"image": picture} if grid else {"images": [picture] * asked["count"]})
        if content == b"damaged":
            return httpx.Response(400, json={"code": 400, "message": "the image is damaged [bold]"})
        if path.startswith("/explanations"):
            return httpx.Response(200, json={"overlay": picture, "blank": False})
        return answer_of(entry=path.rpartition("/")[2])


def png() -> bytes:
    content = io.BytesIO()
    Image.new("RGBA", (8, 8), (200, 100, 50, 255)).save(content, "PNG")
    return content.getvalue()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`python -m compare` in a folder of its own, its output 200 columns wide; `run.server` is asked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LESION_ZOO_ROOT", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "home").mkdir()
    (tmp_path / "mole.jpg").write_bytes(b"picture")
    server = Versions(tmp_path)
    monkeypatch.setattr(command, "connect", lambda study, port: server.zoo())

    def command_line(*arguments: str) -> Any:
        return CliRunner().invoke(command.app, arguments)

    command_line.server = server  # type: ignore[attr-defined]
    return command_line


def rows(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(file.read_text())))


def test_several_pictures_are_a_table_and_a_file(tmp_path: Path, run: Callable[..., Any]) -> None:
    (tmp_path / "its b.jpg").write_bytes(b"picture")
    done = run("predict", "mole.jpg its b.jpg")
    assert done.exit_code == 0, done.output
    assert "answers: reports/phantom-demo/predicted.csv" in done.output
    written = rows(tmp_path / "reports" / "phantom-demo" / "predicted.csv")
    assert list(written[0]) == ["image", "entry", "label", *CLASSES, "error"]
    assert [(row["image"], row["entry"]) for row in written] == [
        ("mole.jpg", "baseline"), ("mole.jpg", "gan_2"), ("its b.jpg", "baseline"), ("its b.jpg", "gan_2")
    ]  # fmt: skip
    assert {(row["label"], float(row["mel"]), row["error"]) for row in written} == {("mel", 0.4, "")}
    assert done.output.count("its b.jpg") == 2


def test_a_picture_that_cannot_be_answered_is_a_row_and_the_others_go_on(
    tmp_path: Path, run: Callable[..., Any]
) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"damaged")
    done = run("predict", "bad.jpg", "none.jpg", "mole.jpg", "--out", "~/answers.csv")
    assert done.exit_code == 1
    assert "error: 2 of 3 pictures could not be answered" in done.output
    written = rows(tmp_path / "home" / "answers.csv")
    errors = {row["image"]: row["error"] for row in written}
    assert errors == {
        "bad.jpg": "the image is damaged [bold]", "none.jpg": "No such file or directory", "mole.jpg": ""
    }  # fmt: skip
    assert "the image is damaged [bold]" in done.output
    assert len(written) == 6


def test_a_single_picture_is_written_where_it_is_asked_for(tmp_path: Path, run: Callable[..., Any]) -> None:
    assert run("predict", "mole.jpg", "--out", "new/").exit_code == 0
    assert len(rows(tmp_path / "new" / "predicted.csv")) == 2
    assert run("predict", "mole.jpg").exit_code == 0
    assert not (tmp_path / "reports").exists()


def test_brackets_and_colons_in_a_name_are_no_markup(tmp_path: Path, run: Callable[..., Any]) -> None:
    name = "a[red]b[bold] :heart:.jpg"
    (tmp_path / name).write_bytes(b"picture")
    done = run("predict", name)
    assert done.exit_code == 0, done.output
    assert name in done.output


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG", ".webp", ".tif", ".bmp"])
def test_an_overlay_has_the_format_of_its_suffix(tmp_path: Path, run: Callable[..., Any], suffix: str) -> None:
    done = run("explain", "mole.jpg", "--out", f"~/deep/er{suffix}")
    assert done.exit_code == 0, done.output
    with Image.open(tmp_path / "home" / "deep" / f"er{suffix}") as image:
        assert image.format == Image.registered_extensions()[suffix.lower()]


def test_a_folder_for_an_overlay_gets_the_usual_name(tmp_path: Path, run: Callable[..., Any]) -> None:
    (tmp_path / "there.png").mkdir()
    for out in ("there.png", "new/"):
        assert run("explain", "mole.jpg", "--out", out).exit_code == 0
        assert (tmp_path / out / "mole_gan_2_mel.png").is_file()


def test_synthetic_images_go_into_a_folder_or_a_file(tmp_path: Path, run: Callable[..., Any]) -> None:
    (tmp_path / "v.2").mkdir()
    for out in ("plain", "v.2", "~/new.v/"):
        assert run("synthesize", "--class", "mel", "--count", "2", "--out", out).exit_code == 0
        inside = Path(out.replace("~", str(tmp_path / "home")))
        assert sorted(file.name for file in inside.iterdir()) == ["mel_0_00000.png", "mel_0_00001.png"]
    assert run("synthesize", "--class", "mel", "--out", "grid.jpg").exit_code == 0
    with Image.open(tmp_path / "grid.jpg") as image:
        assert image.format == "JPEG"
    assert run("synthesize", "--out", "grids").exit_code == 0
    assert (tmp_path / "grids" / "sagan_all_seed0.png").is_file()


EXPLAIN, ALL, ONE = ["explain", "mole.jpg"], ["synthesize"], ["synthesize", "--class", "mel"]


@pytest.mark.parametrize(
    ("arguments", "out", "message"),
    [
        (EXPLAIN, "x.gif", "OUT=x.gif: a file's name ends in .png, .jpg, .jpeg, .webp, .tif, .tiff, .bmp; a folder's"),
        (EXPLAIN, "x", "OUT=x: a file's name ends in .png"),
        (EXPLAIN, "mole.jpg/x.png", "mole.jpg is a file, not a folder"),
        (EXPLAIN, "mole.jpg/", "mole.jpg is a file, not a folder"),
        (EXPLAIN, "/proc/x.png", "OUT: nothing can be written into /proc"),
        (EXPLAIN, f"{'x' * 300}.png", "File name too long"),
        (ALL, "x.gif", "OUT=x.gif: a file's name ends in .png"),
        (ALL, "mole.jpg/x.png", "mole.jpg is a file, not a folder"),
        (ONE, "x.gif", "OUT=x.gif: a file's name ends in .png"),
        (ONE, "key_file", "key_file is a file, not a folder"),
        (ONE, "key_file/below/", "key_file is a file, not a folder"),
        (ONE, "/proc/new", "OUT: nothing can be written into /proc"),
        (["predict", "mole.jpg"], "x.txt", "OUT=x.txt: a file's name ends in .csv; a folder's in /"),
        (["predict", "mole.jpg"], "/proc/x.csv", "OUT: nothing can be written into /proc"),
    ],
)
def test_a_place_that_cannot_be_written_is_one_line_before_anything_is_asked(
    tmp_path: Path, run: Callable[..., Any], arguments: list[str], out: str, message: str
) -> None:
    (tmp_path / "key_file").write_text("")
    done = run(*arguments, "--out", out)
    assert (done.exit_code, done.output.count("\n")) == (2, 1), done.output
    assert done.output.startswith("error: ")
    assert message in done.output
    assert not run.server.requests  # type: ignore[attr-defined]
    assert sorted(os.listdir(tmp_path)) == ["home", "key_file", "key_file.json", "mole.jpg"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["synthesize", "--count", "many"], "COUNT=many: it is a whole number from 1 to 100,000"),
        (["synthesize", "--count", "0"], "COUNT=0: it is a whole number from 1 to 100,000"),
        (["synthesize", "--seed", "1.5"], "SEED=1.5: it is a whole number from 0 to "),
        (["explain", "mole.jpg home"], "home/: no picture in this folder (.jpg, "),
        (["explain", "mole.jpg none.jpg"], "these are 2 pictures; one is explained at a time"),
        (["explain", "no none.jpg"], "no none.jpg: No such file or directory"),
    ],
)
def test_a_wrong_setting_is_one_line(run: Callable[..., Any], arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert (done.exit_code, done.output.count("\n")) == (2, 1), done.output
    assert done.output.startswith("error: ")
    assert message in done.output


def test_a_machine_that_only_serves_can_ask(tmp_path: Path) -> None:
    """Without the packages of training and scoring (`tests/zoo/serving/test_serving_machine.py`)."""
    program = "import runpy, sys; sys.modules |= dict.fromkeys(('torch', 'sklearn', 'scipy', 'safetensors', 'onnx')); "
    program += "sys.argv[0] = 'compare'; runpy.run_module('compare', run_name='__main__')"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "LESION_ZOO_ROOT": str(tmp_path), "COLUMNS": "200"}
    for arguments, message in (
        (["predict", __file__], "no server of the study phantom-demo is running; start it: make serve"),
        (["results"], "sklearn.metrics is not installed here: this needs a whole checkout"),
    ):
        words = [sys.executable, "-c", program, *arguments]
        process = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        assert process.returncode == 2
        assert process.stderr.startswith(f"error: {message}")
