"""From a served study to its report and an A/B answer, by the commands that people type."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score, log_loss

from compare.records.record import ImageRecord, save
from lesions.labels import CLASSES, DATA_LICENSE, MIXED_LICENSE, NOTICE, UNKNOWN_LICENSE
from tests.compare.records.made_up import classifier
from tests.compare.study_server import StudyServer
from zoo.metrics.scores import Predictions, score

Run = Callable[..., Any]


def test_evaluate(study_server: StudyServer, run: Run) -> None:
    done = run("evaluate")
    assert done.exit_code == 0, done.output
    assert "served and offline probabilities differ by" in done.output
    folder = study_server.reports
    results = json.loads((folder / "results.json").read_text())
    assert [result["entry"] for result in results["results"]] == ["transfer", "baseline"]
    assert (results["images"], results["champion"]) == (49, None)
    for result in results["results"]:
        probabilities = study_server.probabilities[result["entry"]]
        predicted = np.array([probabilities[image] for image in study_server.labeled.index.images]).argmax(1)
        wanted = f1_score(study_server.labeled.index.labels, predicted, average="macro")
        assert result["scores"]["macro_f1"] == pytest.approx(wanted, abs=1e-6)
        assert result["offline"]["largest"] < 1e-6
        assert 0 < result["latency_p50_ms"] <= result["latency_p99_ms"]
    assert results["results"][1]["thesis_macro_f1"] == 0.34
    against = {question["against"]: question for question in results["questions"]}
    assert list(against) == ["baseline", "transfer"]
    assert against["baseline"]["compared"][0]["p_holm"] < 0.05
    with (folder / "results.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert [row["entry"] for row in rows] == ["transfer", "baseline"]
    assert float(rows[0]["macro_f1"]) == results["results"][0]["scores"]["macro_f1"]
    assert float(rows[1]["mel_f1"]) == results["results"][1]["scores"]["classes"]["mel"]["f1"]
    page = (folder / "index.html").read_text()
    for row, result in zip(rows, results["results"], strict=True):
        for name in ("accuracy", "macro_auc", "melanoma_sensitivity", "ece", "brier", "nll"):
            value, (low, high) = result["scores"][name], result["scores"][f"{name}_interval"]
            assert low <= value <= high
            assert [float(row[key]) for key in (name, f"{name}_low", f"{name}_high")] == [value, low, high]
            assert f'<td>{value:.3f}<span class="interval">{low:.3f} to {high:.3f}</span></td>' in page
        assert float(row["mel_auc_low"]) == result["scores"]["classes"]["mel"]["auc_interval"][0]


def test_calibration_is_shown_before_and_after(study_server: StudyServer, run: Run) -> None:
    run("evaluate")
    results = json.loads((study_server.reports / "results.json").read_text())
    transfer, baseline = results["results"]
    assert (transfer["temperature"], baseline["temperature"]) == (2, None)
    images = study_server.labeled.index.images
    uncalibrated = np.array([study_server.probabilities["transfer"][image] for image in images]) ** 2
    uncalibrated /= uncalibrated.sum(1, keepdims=True)  # what the softmax of twice the logits is
    wanted = log_loss(study_server.labeled.index.labels, uncalibrated, labels=range(len(CLASSES)))
    assert transfer["uncalibrated"]["nll"] == pytest.approx(wanted, abs=1e-9)
    assert transfer["uncalibrated"]["macro_f1"] == pytest.approx(transfer["scores"]["macro_f1"])
    assert transfer["prior_corrected"] == {"macro_f1": 0.8, "ece": 0.222, "nll": 0.444}
    page = (study_server.reports / "index.html").read_text()
    assert f"<td>{wanted:.3f}</td><td>{transfer['scores']['nll']:.3f}</td>" in page
    assert "<td>0.222</td><td>0.444</td><td>0.800</td>" in page
    with (study_server.reports / "results.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert (rows[0]["temperature"], rows[1]["temperature"]) == ("2.0", "")
    assert float(rows[0]["uncalibrated_nll"]) == transfer["uncalibrated"]["nll"]


def test_the_page_is_whole_and_says_what_it_must(study_server: StudyServer, run: Run) -> None:
    run("evaluate")
    page = (study_server.reports / "index.html").read_text()
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
    assert re.search(r"is \w+, predicted as \w+<br>wrong: 2 of 2", page)
    assert "data:image/jpeg" in page


@pytest.mark.parametrize(
    ("data", "license_", "notice", "cited"),
    [
        ("ham10000", DATA_LICENSE, f", {DATA_LICENSE}; so is whatever was trained on them, and the pictures", True),
        ("clinic", UNKNOWN_LICENSE, f"; license: {UNKNOWN_LICENSE}.", False),
        ("both", MIXED_LICENSE, f"; license: {MIXED_LICENSE}.", True),
    ],
)
def test_the_page_names_the_license_of_real_data(
    study_server: StudyServer, run: Run, data: str, license_: str, notice: str, cited: bool
) -> None:
    for entry in study_server.described.values():
        entry |= {"data": data, "data_licence": license_}
    assert run("evaluate").exit_code == 0
    page = (study_server.reports / "index.html").read_text()
    assert f"Data: {data}{notice}" in page
    assert ("Tschandl" in page) == cited
    assert "phantom" not in page


def test_answers_other_than_offline_fail_after_the_report(study_server: StudyServer, run: Run) -> None:
    image = study_server.labeled.index.images[5]
    study_server.probabilities["transfer"][image] = study_server.probabilities["transfer"][image] + 3e-4 * np.eye(7)[0]
    done = run("evaluate")
    assert done.exit_code == 1
    assert f"error: transfer answers otherwise than it did in training: by 0.0003 on {image}" in done.output
    assert "transfer answers otherwise than it did" in (study_server.reports / "index.html").read_text()


def save_record(study_server: StudyServer, weights: str = "weights of transfer") -> Path:
    """A record of what the served `transfer` says, rounded."""
    index = study_server.labeled.index
    probabilities = np.array([study_server.probabilities["transfer"][image] for image in index.images])
    scores = score(Predictions(index.labels, probabilities, index.lesions))
    images = [
        ImageRecord(image, lesion, CLASSES[label], False, row)
        for image, lesion, label, row in zip(
            index.images, index.lesions, index.labels, probabilities.round(4).tolist(), strict=True
        )
    ]
    made = classifier("transfer", 0.7).model_copy(
        update={"study": "tiny", "weights_sha256": weights, "test": scores, "images": images}
    )
    return save(study_server.folders.root / "docs" / "results", made)


def test_what_is_served_is_held_against_the_committed_records(study_server: StudyServer, run: Run) -> None:
    file = save_record(study_server)
    done = run("evaluate")
    assert done.exit_code == 0, done.output
    line = re.search(r"docs/results: 1 of 2 versions answer .* macro F1 differs by (\S+) at .* by (\S+)\n", done.output)
    assert line is not None
    assert float(line[1]) < 1e-6
    assert 1e-6 < float(line[2]) < 6e-5
    results = json.loads((study_server.reports / "results.json").read_text())
    assert [result["published"] is not None for result in results["results"]] == [True, False]
    assert line[0].strip() in (study_server.reports / "index.html").read_text()

    record = json.loads(file.read_text())
    record["images"][3][4] = [0.01 + value for value in record["images"][3][4]]
    file.write_text(json.dumps(record))
    done = run("report")
    assert done.exit_code == 1
    message = "error: transfer answers otherwise than the record of the same weights in docs/results; record it again: "
    assert f"{message}make results STUDY=tiny" in done.output
    assert "versions answer as recorded" not in done.output

    image = study_server.labeled.index.images[5]
    study_server.probabilities["transfer"][image] = study_server.probabilities["transfer"][image] + 3e-4 * np.eye(7)[0]
    study_server.described["transfer"]["about"] = "asked again"
    done = run("evaluate")
    assert "transfer answers otherwise than it did in training" in done.output
    assert "record it again" not in done.output, "recording would not mend that"


def test_other_weights_than_the_recorded_are_reported(study_server: StudyServer, run: Run) -> None:
    save_record(study_server, "other weights")
    done = run("evaluate")
    assert done.exit_code == 0, done.output
    assert re.search(
        r"transfer was recorded of other weights or images: macro F1 0\.\d+ there, 0\.\d+ here", done.output
    )


def test_a_damaged_published_record_is_reported(study_server: StudyServer, run: Run) -> None:
    save_record(study_server).write_text("{")
    done = run("evaluate")
    assert done.exit_code == 0, "a record is no part of the study"
    assert "docs/results: docs/results/tiny/transfer.json: no record" in done.output
    assert "transfer.json: no record" in (study_server.reports / "index.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report"], "error: no answers in reports/tiny/answers; first: make compare\n"),
        (["ab", "--a", "transfer", "--b", "gan_2"], "error: no answers of transfer in reports/tiny/answers; first"),
        (["evaluate", "--test", "none"], "none: no such file or folder"),
        (["promote", "transfer"], "error: transfer was not scored as it is served now; first: make compare (FORCE=1"),
        (["promote", "gan_9"], "error: gan_9 is not served; there are: baseline, transfer\n"),
    ],
)
def test_a_mistake_is_one_line(run: Run, arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert message in done.output


def test_another_studys_server_is_refused(study_server: StudyServer, run: Run) -> None:
    study_server.described["transfer"]["study"] = "another"
    done = run("evaluate")
    assert (done.exit_code, "error: the server is that of the study another, not tiny's" in done.output) == (2, True)
    assert not study_server.requests


def test_the_report_is_written_again_without_a_server(study_server: StudyServer, run: Run) -> None:
    run("evaluate")
    before = json.loads((study_server.reports / "results.json").read_text())
    study_server.described = {}
    assert run("report").exit_code == 0
    after = json.loads((study_server.reports / "results.json").read_text())
    assert before | {"made": ""} == after | {"made": ""}


def test_answers_about_pictures_that_have_changed_are_of_no_use(
    study_server: StudyServer, run: Run, tmp_path: Path
) -> None:
    picture = tmp_path / "mine" / "mel" / "a.jpg"
    picture.parent.mkdir(parents=True)
    first, second = study_server.labeled.index.images[:2]
    picture.write_bytes(study_server.labeled.source.read(first))
    done = run("evaluate", "--test", "mine")
    assert done.exit_code == 0
    assert ": 1 image of 1 lesion, mine" in done.output
    assert run("report", "--test", "mine").exit_code == 0
    (page,) = study_server.reports.glob("outside-mine-*/index.html")
    assert "about 1 image of 1 lesion:\nmine." in page.read_text()
    picture.write_bytes(study_server.labeled.source.read(second))
    done = run("report", "--test", "mine")
    assert done.exit_code == 2
    assert "was asked about other pictures, which have changed since; first: make compare" in done.output


def test_ab(study_server: StudyServer, run: Run) -> None:
    run("evaluate")
    done = run("ab", "--a", "transfer", "--b", "baseline")
    assert done.exit_code == 0
    scores = {
        result["entry"]: result["scores"]["macro_f1"]
        for result in json.loads((study_server.reports / "results.json").read_text())["results"]
    }
    wanted = scores["transfer"] - scores["baseline"]
    assert f"macro F1 of transfer less that of baseline: {wanted:+.4f} (95 % interval +" in done.output
    assert "p = 0.0100" in done.output  # 2 / 201


def test_images_from_outside(study_server: StudyServer, run: Run, tmp_path: Path) -> None:
    labeled = study_server.labeled
    for image, label in list(zip(labeled.index.images, labeled.index.labels, strict=True))[::5]:
        (tmp_path / "mine" / CLASSES[label]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / CLASSES[label] / f"{image}.jpg").write_bytes(labeled.source.read(image))
    (tmp_path / "mine" / "mole.jpg").write_bytes(b"x")
    study_server.described["transfer"]["split_sha256"] = "another"  # no matter: these are not the split's
    done = run("evaluate", "--test", "mine")
    assert done.exit_code == 0, done.output
    assert "left out: 1 image\n  unlabeled (it lies in no class's folder): 1 image (mole.jpg)\n" in done.output
    assert "served and offline" not in done.output
    (folder,) = study_server.reports.glob("outside-mine-*")
    results = json.loads((folder / "results.json").read_text())
    assert results["images"] == 10
    page = (folder / "index.html").read_text()
    assert "folder): 1 image (mole.jpg)" in page
    assert "<p>1 image was left out:</p>" in page
    assert "The pictures on this page are those of <strong>mine</strong>: their license" in page
    assert "nobody’s" not in page
    assert "The data are a" not in page
    assert run("evaluate", "--test", "mine", "--strict").exit_code == 2
