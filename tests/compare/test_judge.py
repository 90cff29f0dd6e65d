"""From a served study to its report, an A/B answer and a champion, by the commands that people type."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.metrics import f1_score, log_loss
from typer.testing import CliRunner

import compare.__main__ as command
from compare.records.record import Tested, save
from lesions.labels import CLASSES, DATA_LICENSE, NOTICE
from tests.compare.records.made_up import classifier
from zoo.metrics.scores import Predictions, score
from zoo.serving import champion

if TYPE_CHECKING:
    from tests.compare.conftest import Standing

Run = Callable[..., Any]


@pytest.fixture
def run(standing: "Standing", monkeypatch: pytest.MonkeyPatch) -> Run:
    """`python -m compare` in the root of the study, against its stand-in server."""
    monkeypatch.chdir(standing.folders.root)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(command, "Zoo", lambda port, key_file, seconds: standing.zoo())
    monkeypatch.setattr("zoo.metrics.bootstrap.RESAMPLES", 200)
    monkeypatch.setattr("zoo.metrics.bootstrap.PAIRED_RESAMPLES", 200)

    def typed(*arguments: str) -> Any:
        offline = arguments[0] in ("report", "ab")
        return CliRunner().invoke(
            command.app, [*arguments, "--study", "tiny", *([] if offline else ["--port", "8080"])]
        )

    return typed


def reports(standing: "Standing") -> Path:
    return standing.folders.root / "reports" / "tiny"


def test_evaluate(standing: "Standing", run: Run) -> None:
    done = run("evaluate")
    assert done.exit_code == 0, done.output
    assert "served and offline probabilities differ by" in done.output
    folder = reports(standing)
    found = json.loads((folder / "results.json").read_text())
    assert [result["entry"] for result in found["results"]] == ["transfer", "baseline"]
    assert (found["images"], found["champion"]) == (49, None)
    for result in found["results"]:
        told = standing.probabilities[result["entry"]]
        said = np.array([told[image] for image in standing.labeled.index.images]).argmax(1)
        wanted = f1_score(standing.labeled.index.labels, said, average="macro")
        assert result["scores"]["macro_f1"] == pytest.approx(wanted, abs=1e-6)
        assert result["offline"]["largest"] < 1e-6
        assert 0 < result["latency_p50_ms"] <= result["latency_p99_ms"]
    assert found["results"][1]["thesis_macro_f1"] == 0.34
    against = {question["against"]: question for question in found["questions"]}
    assert list(against) == ["baseline", "transfer"]
    assert against["baseline"]["compared"][0]["p_holm"] < 0.05
    with (folder / "results.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert [row["entry"] for row in rows] == ["transfer", "baseline"]
    assert float(rows[0]["macro_f1"]) == found["results"][0]["scores"]["macro_f1"]
    assert float(rows[1]["mel_f1"]) == found["results"][1]["scores"]["classes"]["mel"]["f1"]
    page = (folder / "index.html").read_text()
    for row, result in zip(rows, found["results"], strict=True):
        for name in ("accuracy", "macro_auc", "melanoma_sensitivity", "ece", "brier", "nll"):
            value, (low, high) = result["scores"][name], result["scores"][f"{name}_interval"]
            assert low <= value <= high
            assert [float(row[key]) for key in (name, f"{name}_low", f"{name}_high")] == [value, low, high]
            assert f'<td>{value:.3f}<span class="interval">{low:.3f} to {high:.3f}</span></td>' in page
        assert float(row["mel_auc_low"]) == result["scores"]["classes"]["mel"]["auc_interval"][0]


def test_calibration_is_shown_before_and_after(standing: "Standing", run: Run) -> None:
    run("evaluate")
    found = json.loads((reports(standing) / "results.json").read_text())
    transfer, baseline = found["results"]
    assert (transfer["temperature"], baseline["temperature"]) == (2, None)
    told = np.array([standing.probabilities["transfer"][image] for image in standing.labeled.index.images]) ** 2
    told /= told.sum(1, keepdims=True)  # what the softmax of twice the logits is
    wanted = log_loss(standing.labeled.index.labels, told, labels=range(len(CLASSES)))
    assert transfer["uncalibrated"]["nll"] == pytest.approx(wanted, abs=1e-9)
    assert transfer["uncalibrated"]["macro_f1"] == pytest.approx(transfer["scores"]["macro_f1"])
    assert transfer["prior_corrected"] == {"macro_f1": 0.8, "ece": 0.222, "nll": 0.444}
    page = (reports(standing) / "index.html").read_text()
    assert f"<td>{wanted:.3f}</td><td>{transfer['scores']['nll']:.3f}</td>" in page
    assert "<td>0.222</td><td>0.444</td><td>0.800</td>" in page
    with (reports(standing) / "results.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert (rows[0]["temperature"], rows[1]["temperature"]) == ("2.0", "")
    assert float(rows[0]["uncalibrated_nll"]) == transfer["uncalibrated"]["nll"]


def test_the_page_is_whole_and_says_what_it_must(standing: "Standing", run: Run) -> None:
    run("evaluate")
    page = (reports(standing) / "index.html").read_text()
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)  # nothing that lies elsewhere
    assert NOTICE in page
    assert "<strong>phantom</strong>" in page
    assert DATA_LICENSE not in page
    for name in ("baseline", "transfer"):
        assert f'id="{name}"' in page
        assert f"What is &lt;{name}&gt; worth?" in page
        assert f"weights of {name}" in page
    assert "0.34" in page  # the thesis's
    assert "30 x 2, 20 x 1" in page
    assert re.search(r"trainable tensors</th><td>1<", page)
    assert page.count("data:image/svg+xml") == 3 + 2 * 4
    assert re.search(r"is \w+, said to be \w+<br>wrong: 2 of 2", page)
    assert "data:image/jpeg" in page


def test_the_page_names_the_license_of_real_data(standing: "Standing", run: Run) -> None:
    for entry in standing.described.values():
        entry |= {"data": "ham10000", "data_licence": DATA_LICENSE}
    assert run("evaluate").exit_code == 0
    page = (reports(standing) / "index.html").read_text()
    assert f"Data: ham10000, {DATA_LICENSE}" in page
    assert "phantom" not in page


def test_answers_other_than_offline_fail_after_the_report(standing: "Standing", run: Run) -> None:
    image = standing.labeled.index.images[5]
    standing.probabilities["transfer"][image] = standing.probabilities["transfer"][image] + 3e-4 * np.eye(7)[0]
    done = run("evaluate")
    assert done.exit_code == 1
    assert f"error: transfer answers otherwise than it did in training: by 0.0003 on {image}" in done.output
    assert "transfer answers otherwise than it did" in (reports(standing) / "index.html").read_text()


def recorded(standing: "Standing", weights: str = "weights of transfer") -> Path:
    """A record of what the served `transfer` says, rounded."""
    index = standing.labeled.index
    told = np.array([standing.probabilities["transfer"][image] for image in index.images])
    said = score(Predictions(index.labels, told, index.lesions))
    images = [
        Tested(image, lesion, CLASSES[label], False, row)
        for image, lesion, label, row in zip(
            index.images, index.lesions, index.labels, told.round(4).tolist(), strict=True
        )
    ]
    made = classifier("transfer", 0.7).model_copy(
        update={"study": "tiny", "weights_sha256": weights, "test": said, "images": images}
    )
    return save(standing.folders.root / "docs" / "results", made)


def test_what_is_served_is_held_against_the_committed_records(standing: "Standing", run: Run) -> None:
    file = recorded(standing)
    done = run("evaluate")
    assert done.exit_code == 0, done.output
    told = re.search(r"docs/results: 1 of 2 versions answer .* macro F1 differs by (\S+) at .* by (\S+)\n", done.output)
    assert told is not None
    assert float(told[1]) < 1e-6
    assert 1e-6 < float(told[2]) < 6e-5
    found = json.loads((reports(standing) / "results.json").read_text())
    assert [result["published"] is not None for result in found["results"]] == [True, False]
    assert told[0].strip() in (reports(standing) / "index.html").read_text()

    known = json.loads(file.read_text())
    known["images"][3][4] = [0.01 + value for value in known["images"][3][4]]
    file.write_text(json.dumps(known))
    done = run("report")
    assert done.exit_code == 1
    said = "error: transfer answers otherwise than the record of the same weights in docs/results; record it again: "
    assert f"{said}make results STUDY=tiny" in done.output
    assert "versions answer as recorded" not in done.output

    image = standing.labeled.index.images[5]
    standing.probabilities["transfer"][image] = standing.probabilities["transfer"][image] + 3e-4 * np.eye(7)[0]
    standing.described["transfer"]["about"] = "asked again"
    done = run("evaluate")
    assert "transfer answers otherwise than it did in training" in done.output
    assert "record it again" not in done.output, "recording would not mend that"


def test_other_weights_than_the_recorded_are_said(standing: "Standing", run: Run) -> None:
    recorded(standing, "other weights")
    done = run("evaluate")
    assert done.exit_code == 0, done.output
    assert re.search(
        r"transfer was recorded of other weights or images: macro F1 0\.\d+ there, 0\.\d+ here", done.output
    )


def test_a_damaged_published_record_is_told(standing: "Standing", run: Run) -> None:
    recorded(standing).write_text("{")
    done = run("evaluate")
    assert done.exit_code == 0, "a record is no part of the study"
    assert "docs/results: docs/results/tiny/transfer.json: no record" in done.output
    assert "transfer.json: no record" in (reports(standing) / "index.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["report"], "error: no answers in reports/tiny/answers; first: make compare\n"),
        (["ab", "--a", "transfer", "--b", "gan_2"], "error: no answers of transfer in reports/tiny/answers; first"),
        (["evaluate", "--test", "none"], "none: no such file or folder"),
        (["promote", "transfer"], "error: transfer was not scored as it is served now; first: make compare (FORCE=1"),
        (["promote", "gan_9"], "error: gan_9 is not served; there are: baseline, transfer\n"),
    ],
)
def test_a_mistake_is_told_in_one_line(run: Run, arguments: list[str], said: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert said in done.output


def test_another_studys_server_is_refused(standing: "Standing", run: Run) -> None:
    standing.described["transfer"]["study"] = "another"
    done = run("evaluate")
    assert (done.exit_code, "error: the server is that of the study another, not tiny's" in done.output) == (2, True)
    assert not standing.asked


def test_the_report_is_written_again_without_a_server(standing: "Standing", run: Run) -> None:
    run("evaluate")
    before = json.loads((reports(standing) / "results.json").read_text())
    standing.described = {}
    assert run("report").exit_code == 0
    after = json.loads((reports(standing) / "results.json").read_text())
    assert before | {"made": ""} == after | {"made": ""}


def test_ab(standing: "Standing", run: Run) -> None:
    run("evaluate")
    done = run("ab", "--a", "transfer", "--b", "baseline")
    assert done.exit_code == 0
    scores = {
        result["entry"]: result["scores"]["macro_f1"]
        for result in json.loads((reports(standing) / "results.json").read_text())["results"]
    }
    wanted = scores["transfer"] - scores["baseline"]
    assert f"macro F1 of transfer less that of baseline: {wanted:+.4f} (95 % interval +" in done.output
    assert "p = 0.0100" in done.output  # 2 / 201


def test_images_from_outside(standing: "Standing", run: Run, tmp_path: Path) -> None:
    labeled = standing.labeled
    for image, label in list(zip(labeled.index.images, labeled.index.labels, strict=True))[::5]:
        (tmp_path / "mine" / CLASSES[label]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / CLASSES[label] / f"{image}.jpg").write_bytes(labeled.source.read(image))
    (tmp_path / "mine" / "mole.jpg").write_bytes(b"x")
    standing.described["transfer"]["split_sha256"] = "another"  # no matter: these are not the split's
    done = run("evaluate", "--test", "mine")
    assert done.exit_code == 0, done.output
    assert "left out: 1 images\n  mole.jpg: unlabeled" in done.output
    assert "served and offline" not in done.output
    (folder,) = reports(standing).glob("outside-mine-*")
    found = json.loads((folder / "results.json").read_text())
    assert found["images"] == 10
    assert "mole.jpg: unlabeled" in (folder / "index.html").read_text()
    assert run("evaluate", "--test", "mine", "--strict").exit_code == 2


def test_promote(standing: "Standing", run: Run) -> None:
    run("evaluate")
    done = run("promote", "baseline")  # there is no champion yet that it could be worse than
    assert done.exit_code == 0, done.output
    done = run("promote", "best")
    assert "transfer is the champion of tiny: macro F1 0." in done.output
    assert "against baseline: +0." in done.output
    assert standing.default == "transfer"
    done = run("promote", "baseline")
    assert done.exit_code == 2
    assert re.search(
        r"error: baseline is significantly worse than the champion, transfer: macro F1 -0\.\d+ \(", done.output
    )
    assert standing.default == "transfer"
    assert run("promote", "baseline", "--force").exit_code == 0
    assert standing.default == "baseline"
    assert run("report").exit_code == 0
    assert '"champion": "baseline"' in (reports(standing) / "results.json").read_text()
    first, second, third = champion.history(standing.folders.archives)
    assert (first.entry, second.entry, third.entry) == ("baseline", "transfer", "baseline")
    assert (first.previous, first.difference, first.forced) == (None, None, None)
    assert second.previous == "baseline"
    assert second.difference is not None
    assert second.difference > 0
    assert second.valid_macro_f1 == 0.95
    assert third.forced is not None
    assert "significantly worse" in third.forced
    assert second.since.startswith("2")
    found = json.loads((reports(standing) / "results.json").read_text())
    assert [question["is_champion"] for question in found["questions"]] == [True, False]


def test_an_entry_that_was_trained_anew_is_not_scored(standing: "Standing", run: Run) -> None:
    run("evaluate")
    standing.described["transfer"]["weights_sha256"] = "others"
    assert "transfer was not scored as it is served now" in run("promote", "transfer").output
    assert champion.current(standing.folders.archives) is None


def test_a_damaged_record_is_told(standing: "Standing", run: Run) -> None:
    run("evaluate")
    (standing.folders.archives / champion.FILE).write_text("{")
    done = run("promote", "transfer")
    assert (done.exit_code, "champion.json is damaged; delete it" in done.output) == (2, True)
