"""Files that are cut short, as a power cut leaves them, or a broken copy: `make zoo` mends them, or says so."""

import pytest

from tests.faults.checkout import STUDY, Harmed
from tests.faults.conftest import Reliability

pytestmark = [pytest.mark.thorough, pytest.mark.slow]

RUNS = f"runs/{STUDY}"

MENDED = {
    "weights": [f"{RUNS}/baseline/weights.safetensors"],
    "a model, and the graph that it is made from": [f"{RUNS}/baseline/model.onnx", "data/cache/graphs/*.onnx"],
    "what belongs to weights, and what is known of the data": [
        f"{RUNS}/weighted_loss/scores.json",
        f"{RUNS}/data.json",
    ],
    "weights and checkpoint": [f"{RUNS}/baseline/weights.safetensors", f"{RUNS}/baseline/last.ckpt"],
    "cache, split and recipe": ["data/cache/*/images.npy", f"{RUNS}/split.csv", f"{RUNS}/baseline/recipe.json"],
}


@pytest.mark.parametrize("what", MENDED)
def test_cut_short_and_mended(what: str, copy: Harmed, built: Harmed, reliability: Reliability) -> None:
    row = reliability.row(f"cut short: {what}", "`make zoo` makes it again, into the same bytes, without a traceback")
    files = [file for name in MENDED[what] for file in copy.folder.glob(name)]
    before = {file: file.read_bytes() for file in files}
    assert len(files) == len(MENDED[what])
    for file, content in before.items():
        file.write_bytes(content[:500])
        row.tried += 1
    output = copy.made("zoo", ENTRIES="baseline weighted_loss")
    assert "Traceback" not in output
    assert copy.digests() == built.digests()
    for file, content in before.items():
        if file.suffix != ".ckpt":  # Lightning notes times in it
            assert file.read_bytes() == content, file
    row.seen = "so it did: weights and archives have the same sha256"


def test_settings_cut_short(copy: Harmed, built: Harmed, reliability: Reliability) -> None:
    row = reliability.row("cut short: a study's settings", "an error in a line that says what to do")
    file = copy.runs / "study.json"
    file.write_bytes(file.read_bytes()[:20])
    row.tried = 1
    failed = copy.make("zoo", ENTRIES="baseline")
    assert failed.returncode == 2
    assert "study.json is damaged; delete it, and run `make zoo` again" in failed.stderr
    assert "Traceback" not in failed.stderr
    file.unlink()
    copy.made("zoo", ENTRIES="baseline weighted_loss")
    assert copy.digests() == built.digests()
    row.seen = "so it was; without the file, `make zoo` found all as it had been"
