"""The zoo in a notebook: entries are loaded by name or path, pictures predicted and explained, mistakes named."""

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from lesions.images import center_square
from lesions.index import DataError
from lesions.labels import CLASSES, NOTICE
from tests import icc
from tests.images import file_of
from tests.networks import digest, probabilities, save_model
from tests.servers import pack
from zoo import load, load_predictions
from zoo.library import Classifier, LoadError
from zoo.models.explanation import overlay
from zoo.models.network import build
from zoo.models.predictor import CHUNK
from zoo.models.session import MODEL, ModelError
from zoo.study import ROOT, Folders

PIXELS = 64
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8))


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return build("test_efficientnet")


def archive(file: Path, pixels: int = PIXELS) -> Path:
    """Pack a classifier with random weights, calibrated at temperature 2, that takes images of `pixels`."""
    model = save_model(network(), file.with_suffix(".onnx"), pixels, temperature=2.0)
    entry = {
        "entry": file.stem,
        "study": "mine",
        "kind": "classifier",
        "about": "?",
        "notice": NOTICE,
        "data": "phantom",
        "architecture": "test_efficientnet",
        "pixels": PIXELS,
        "classes": CLASSES,
        "mean": [0.5] * 3,
        "deviation": [0.25] * 3,
        "recipe": {},
        "scores": {},
        "calibration": {"temperature": 2.0},
        "model_sha256": digest(model),
        "weights_sha256": "",
        "split_sha256": "",
        "versions": {},
    }
    pack(entry, model, file)
    return file


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """A study with one archive, `transfer`."""
    folders = Folders("mine", tmp_path_factory.mktemp("zoo"))
    archive(folders.archives / "transfer.mar")
    return folders


@pytest.fixture(autouse=True)
def root(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LESION_ZOO_ROOT", str(folders.root))


@pytest.fixture(scope="module")
def classifier(folders: Folders) -> Classifier:
    return load(folders.archives / "transfer.mar")


def test_an_entry_is_loaded_by_name_and_by_path(folders: Folders) -> None:
    by_name, by_path = load("transfer", "mine"), load(str(folders.archives / "transfer.mar"))
    assert by_name.entry == by_path.entry
    assert repr(by_name) == "<Classifier transfer of study mine>"
    assert by_name.predict(PICTURE) == by_path.predict(PICTURE)


def test_a_prediction_is_that_of_the_network(classifier: Classifier) -> None:
    expected = probabilities(network(), np.stack([center_square(PICTURE, PIXELS)]), temperature=2.0)[0]
    prediction = classifier.predict(PICTURE)
    assert list(prediction.probabilities) == list(CLASSES)
    assert list(prediction.probabilities.values()) == pytest.approx(expected.tolist(), abs=1e-6)
    assert (prediction.image, prediction.label) == ("", CLASSES[expected.argmax()])


def test_a_picture_may_be_a_path_or_bytes_or_an_image(classifier: Classifier, tmp_path: Path) -> None:
    file = tmp_path / "mole.png"
    file.write_bytes(file_of(PICTURE))
    prediction = classifier.predict(PICTURE)
    assert classifier.predict(file_of(PICTURE)) == prediction
    for path in (file, str(file)):
        assert classifier.predict(path) == prediction._replace(image=str(file))
    assert classifier.predict([file, PICTURE]) == [prediction._replace(image=str(file)), prediction]
    assert classifier.predict([]) == []


def test_an_image_is_converted_as_its_file_is(classifier: Classifier, tmp_path: Path) -> None:
    """An opened image has its profile and its 16 bits still: convert("RGB") would ignore the one and clip the other."""
    deep = Image.fromarray(np.linspace(0, 65535, 50 * 70).astype(np.uint16).reshape(50, 70))
    for content in (file_of(PICTURE, icc_profile=icc.profile(icc.SWAPPED, 2.2)), file_of(deep, "TIFF")):
        with Image.open(io.BytesIO(content)) as opened:
            assert classifier.predict(opened) == classifier.predict(content)
    with pytest.raises(LoadError, match="the picture: 16 bits a channel, of which 12 are used"):
        classifier.predict(Image.fromarray(np.asarray(deep) >> 4))


def test_a_folder_gives_its_pictures_by_name(classifier: Classifier, tmp_path: Path) -> None:
    for name in ("b.PNG", "a.png"):
        (tmp_path / name).write_bytes(file_of(PICTURE))
    (tmp_path / "notes.txt").write_text("left arm")
    (tmp_path / "._a.png").write_bytes(b"what macOS puts beside a.png")
    (tmp_path / "folder.png").mkdir()
    assert [Path(prediction.image).name for prediction in classifier.predict(tmp_path)] == ["a.png", "b.PNG"]


def test_pictures_go_through_the_network_a_few_at_a_time(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    together, predict = [], classifier.predictor.probabilities

    def counted(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        together.append(len(images))
        return predict(images)

    monkeypatch.setattr(classifier.predictor, "probabilities", counted)
    pictures = [PICTURE.rotate(5 * number) for number in range(CHUNK + 2)]
    predicted = classifier.predict(pictures)
    assert together == [CHUNK, 2]
    assert predicted == [classifier.predict(picture) for picture in pictures]


def test_an_explanation_is_of_the_predicted_class_or_of_a_named_one(classifier: Classifier) -> None:
    predicted = classifier.predict(PICTURE).label
    heat_maps = [classifier.predictor.heat_maps(center_square(PICTURE, PIXELS)[None], [k])[0] for k in range(7)]
    first, of_predicted = heat_maps[0], heat_maps[CLASSES.index(predicted)]
    named = next(
        name
        for name, heat in zip(CLASSES, heat_maps, strict=True)
        if np.abs(heat - first).max() > 0.1 and np.abs(heat - of_predicted).max() > 0.1
    )
    for label in (None, named):
        explanation = classifier.explain(PICTURE, label)
        assert (explanation.label, explanation.explained) == (predicted, label or predicted)
        assert (explanation.overlay.mode, explanation.overlay.size) == ("RGB", (50, 50))
        heat = heat_maps[CLASSES.index(explanation.explained)]
        expected = overlay(center_square(PICTURE, 50), heat)
        assert np.array_equal(np.asarray(explanation.overlay), np.asarray(expected)), "of the class that is explained"
        assert explanation.blank == (not heat.any())
    with pytest.raises(LoadError, match="no class 'wart'; there are: akiec, bcc"):
        classifier.explain(PICTURE, "wart")


def test_an_explanation_of_nothing_is_blank_and_a_large_picture_s_is_small(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert classifier.explain(PICTURE.resize((900, 700))).overlay.size == (512, 512)
    maps = classifier.predictor.maps
    monkeypatch.setattr(classifier.predictor, "maps", lambda images: maps(images) * 0)
    assert classifier.explain(PICTURE).blank


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (PICTURE.resize((5, 5)), "5 x 5 pixels; each side must have at least 16"),
        (Image.new("RGB", (0, 0)), "0 x 0 pixels; each side must have at least 16"),
        (Image.new("1", (8000, 8000)), "8000 x 8000 pixels; at most 50,000,000 are decoded"),
    ],
)
def test_what_is_refused_as_a_file_is_refused_as_an_image(
    classifier: Classifier, picture: Image.Image, message: str
) -> None:
    with pytest.raises(LoadError, match=f"^the picture: {message}"):
        classifier.predict(picture)


def test_a_moving_image_is_refused(classifier: Classifier) -> None:
    content = io.BytesIO()
    PICTURE.save(content, "GIF", save_all=True, append_images=[PICTURE.rotate(90, expand=True).resize(PICTURE.size)])
    with Image.open(content) as opened:
        for picture in (opened, content.getvalue()):
            with pytest.raises(LoadError, match="the picture: more than one frame or page"):
                classifier.predict(picture)


def test_what_is_no_picture_is_named(classifier: Classifier) -> None:
    for thing in (np.zeros((2, 64, 64, 3), np.uint8), [1]):
        with pytest.raises(LoadError, match="a picture is a path, the bytes of a file, or an image of Pillow's, not"):
            classifier.predict(cast(Any, thing))


def test_a_picture_that_cannot_be_read_is_named(classifier: Classifier, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(file_of(PICTURE)[:100])
    with pytest.raises(LoadError, match=r"damaged\.png: the image is damaged or cut short"):
        classifier.predict(damaged)
    with pytest.raises(LoadError, match=r"none\.png: No such file"):
        classifier.predict(tmp_path / "none.png")
    with pytest.raises(LoadError, match="the picture: not an image of a supported format"):
        classifier.predict(b"hello")
    damaged.write_bytes(file_of(PICTURE)[:-200])
    with Image.open(damaged) as opened, pytest.raises(LoadError, match=r"the picture: .*truncated"):
        classifier.predict(opened)


def test_an_unknown_entry_names_what_there_is(folders: Folders) -> None:
    with pytest.raises(LoadError, match=r"no archive .*mine/nobody\.mar; there are: transfer$"):
        load("nobody", "mine")
    with pytest.raises(LoadError, match=r"there are: none; first: make zoo$"):
        load("transfer", "another")


def test_a_generator_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "sagan.mar", "w") as opened:
        opened.writestr(MODEL, b"")
        opened.writestr("entry.json", json.dumps({"kind": "generator", "model_sha256": hashlib.sha256().hexdigest()}))
    with pytest.raises(LoadError, match=r"sagan\.mar: a generator, and no classifier; ask it by: make synthesize"):
        load(tmp_path / "sagan.mar")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"kind": "classifier"}'])
def test_an_archive_without_an_entry_is_none(tmp_path: Path, content: str) -> None:
    with zipfile.ZipFile(tmp_path / "x.mar", "w") as opened:
        opened.writestr(MODEL, b"")
        opened.writestr("entry.json", content)
    with pytest.raises(LoadError, match=r"x\.mar is not an archive of the zoo"):
        load(tmp_path / "x.mar")


def test_a_damaged_member_of_a_zip_that_was_packed_anew_is_named(folders: Folders, tmp_path: Path) -> None:
    with zipfile.ZipFile(folders.archives / "transfer.mar") as whole:
        members = {name: whole.read(name) for name in ("entry.json", MODEL)}
    file = tmp_path / "x.mar"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
        start = packed.getinfo(MODEL).header_offset + 200
    packed_again = file.read_bytes()
    file.write_bytes(packed_again[:start] + b"\xff" * 400 + packed_again[start + 400 :])
    with pytest.raises(LoadError, match=r"x\.mar is not an archive of the zoo"):
        load(file)
    lacking = json.loads(members["entry.json"])
    del lacking["pixels"]
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("entry.json", json.dumps(lacking))
        packed.writestr(MODEL, members[MODEL])
    with pytest.raises(ModelError, match=r"entry\.json has no 'pixels'"):
        load(file)


@pytest.mark.parametrize("kept", [0, 100, 2000, -100])
def test_an_archive_that_is_cut_short_is_none(folders: Folders, tmp_path: Path, kept: int) -> None:
    content = (folders.archives / "transfer.mar").read_bytes()
    (tmp_path / "x.mar").write_bytes(content[:kept])
    with pytest.raises(LoadError, match=r"x\.mar is not an archive of the zoo"):
        load(tmp_path / "x.mar")


def test_a_model_of_another_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="the model of another network"):
        load(archive(tmp_path / "x.mar", pixels=32))


def test_an_archive_is_loaded_without_torch(folders: Folders) -> None:
    code = f"import sys; from zoo import load; load({str(folders.archives / 'transfer.mar')!r})"
    code += "; sys.exit(bool({'torch', 'timm', 'sklearn', 'captum'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_predictions_are_those_that_training_left(folders: Folders) -> None:
    run = folders.run("trained")
    run.mkdir(parents=True)
    rows = [("a", "valid", "mel"), ("b", "test", "nv"), ("c", "test", "df")]
    lines = [f"{image},{part},{label},0.4{',0.1' * 6}" for image, part, label in rows]
    (run / "predictions.csv").write_text("\n".join(["image,part,label," + ",".join(CLASSES), *lines, ""]))
    valid, test = load_predictions("trained", "mine")
    assert (valid.images, test.images) == (("a",), ("b", "c"))
    assert [CLASSES[label] for label in test.labels] == ["nv", "df"]
    assert test.probabilities.tolist() == [[0.4, *[0.1] * 6]] * 2
    with pytest.raises(DataError, match=r"no .*nobody/predictions\.csv; first: make zoo"):
        load_predictions("nobody", "mine")


def test_a_moving_image_that_is_cut_short_is_named(classifier: Classifier) -> None:
    content = io.BytesIO()
    PICTURE.save(content, "GIF", save_all=True, append_images=[PICTURE.rotate(90, expand=True).resize(PICTURE.size)])
    whole = content.getvalue()
    for kept in range(len(whole) // 2, len(whole), 7):
        with Image.open(io.BytesIO(whole[:kept])) as opened, pytest.raises(LoadError, match="the picture: "):
            classifier.predict(opened)
