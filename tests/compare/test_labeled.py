"""The images that versions are scored on: the test split and nothing else, or an external test set."""

import shutil
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from compare.labeled import external_images, held_out_images, images_seen_in_training, trained_content
from lesions.index import DataError
from lesions.labels import CLASSES
from lesions.sources.left_out import LeftOut
from tests.compare.study_server import StudyServer

HEADER = "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC"


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), "tan").save(folder / name)


def test_the_test_split_and_nothing_else(study_server: StudyServer) -> None:
    labeled = held_out_images(study_server.folders)
    assert not images_seen_in_training(study_server.folders).intersection(labeled.index.images)
    assert len(labeled.index) == 49
    text = study_server.folders.split.read_text()
    image = next(line.partition(",")[0] for line in text.splitlines() if line.endswith(",train"))
    assert image in images_seen_in_training(study_server.folders)
    study_server.folders.split.write_text(text.replace(",train\n", ",left out\n", 1))
    assert image not in images_seen_in_training(study_server.folders), "training has not seen what is left out"
    study_server.folders.split.write_text(text)
    assert labeled.split_sha256 == study_server.split_sha256
    assert labeled.source.read(labeled.index.images[0]).startswith(b"\xff\xd8")
    with study_server.folders.split.open("a") as file:
        file.write("ELSEWHERE,l,nv,test\n")
    with pytest.raises(DataError, match="lacks 1 image of the test split, ELSEWHERE first"):
        held_out_images(study_server.folders)
    study_server.folders.split.write_text("image,part\nx,test\n")
    with pytest.raises(DataError, match=r"split\.csv is damaged; run `make zoo` again"):
        held_out_images(study_server.folders)
    study_server.folders.split.unlink()
    with pytest.raises(DataError, match=r"split\.csv; first: make zoo"):
        held_out_images(study_server.folders)


def test_a_study_without_described_data(study_server: StudyServer) -> None:
    study_server.folders.data.write_text("{}")
    with pytest.raises(DataError, match=r"data\.json is damaged; run `make zoo` again"):
        held_out_images(study_server.folders)
    study_server.folders.data.unlink()
    with pytest.raises(DataError, match=r"data\.json; first: make zoo"):
        held_out_images(study_server.folders)


def test_class_folders(tmp_path: Path) -> None:
    write(tmp_path, "mel/a.jpg", "nv/deeper/b.jpg", "nv/seen.jpg", "nevus/c.jpg", "d.jpg")
    (tmp_path / "df").mkdir()
    (tmp_path / "df" / "e.png").write_bytes(b"no picture")
    (tmp_path / "vasc").mkdir()
    (tmp_path / "vasc" / "notes.txt").write_text("no image at all")
    (tmp_path / "mel" / "a.jpg").write_bytes((tmp_path / "mel" / "a.jpg").read_bytes() + b"mel")
    labeled = external_images(tmp_path, {"seen"})
    assert labeled.index.images == labeled.index.lesions == ("mel/a.jpg", "nv/deeper/b.jpg")
    assert [CLASSES[label] for label in labeled.index.labels] == ["mel", "nv"]
    assert labeled.name == tmp_path.name
    assert labeled.split_sha256 is None
    assert labeled.left_out == (
        LeftOut("d.jpg", "unlabeled (it lies in no class's folder)"),
        LeftOut("nevus/c.jpg", "unknown class 'nevus'"),
        LeftOut("df/e.png", "not an image of a supported format (JPEG, PNG, WEBP, TIFF, BMP, GIF)"),
        LeftOut("nv/seen.jpg", "the study has trained on it, or chosen by it"),
    )
    assert labeled.source.read("mel/a.jpg") == (tmp_path / "mel" / "a.jpg").read_bytes()
    with pytest.raises(DataError, match=r"4 images cannot be used:\n  unlabeled .*: 1 image \(d\.jpg\)\n"):
        external_images(tmp_path, {"seen"}, strict=True)


def test_what_training_has_seen_is_known_by_its_content_too(study_server: StudyServer, tmp_path: Path) -> None:
    folders, source = study_server.folders, study_server.labeled.source
    seen = images_seen_in_training(folders)
    learned, held_out = min(seen), study_server.labeled.index.images[0]
    mine = tmp_path / "mine"
    (mine / "mel").mkdir(parents=True)
    for name, image in (("renamed", learned), ("new", held_out)):
        (mine / "mel" / f"{name}.jpeg").write_bytes(source.read(image))
    trained = trained_content(folders, seen)
    labeled = external_images(mine, seen, trained=trained)
    assert labeled.index.images == ("mel/new.jpeg",)
    assert labeled.left_out == (LeftOut("mel/renamed.jpeg", "the study has trained on it, or chosen by it"),)
    study = folders.runs / "study.json"
    study.write_text(study.read_text().replace(str(source.path), str(tmp_path / "gone")))
    assert trained_content(folders, seen) is None, "names alone are left"


def test_isics_table(tmp_path: Path) -> None:
    rows = "a,1,0,0,0,0,0,0\nb,0,0,0,0,0,0,0\nseen,0,1,0,0,0,0,0\ntorn,0,1,0,0,0,0,0\n"
    (tmp_path / "truth.csv").write_text(f"{HEADER}\n{rows}")
    write(tmp_path, "a.jpg", "b.jpg", "seen.jpg", "torn.jpg")
    (tmp_path / "torn.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:-200])
    labeled = external_images(tmp_path / "truth.csv", {"seen"})
    assert labeled.index.images == ("a",)
    assert [image.image for image in labeled.left_out] == ["b", "seen", "torn"]
    assert labeled.left_out[1].reason == "the study has trained on it, or chosen by it"
    assert labeled.left_out[2].reason.startswith("the image is damaged or cut short")
    with pytest.raises(DataError, match=r"3 images cannot be used:\n  unlabeled: 1 image \(b\)\n"):
        external_images(tmp_path / "truth.csv", {"seen"}, strict=True)


def test_one_picture_in_two_classes(tmp_path: Path) -> None:
    write(tmp_path, "mel/a.jpg", "NV/b.jpg")
    with pytest.raises(DataError, match=r"NV/b\.jpg and .*mel/a\.jpg are the same picture, in two classes"):
        external_images(tmp_path, ())
    for name in ("mel/c.png", "NV/d.png"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "NV" / "b.jpg").unlink()
    assert len(external_images(tmp_path, ()).left_out) == 2, "files without a picture are none"


def test_images_of_a_zip_file(tmp_path: Path) -> None:
    write(tmp_path / "set", "a.jpg", "b.jpg", "c.jpg")
    (tmp_path / "set" / "my_test.csv").write_text("image_id;dx\na.jpg;MEL\nb.jpg;scc\nc.jpg;nv\nd.jpg;nv\n")
    file = Path(shutil.make_archive(str(tmp_path / "set"), "zip", tmp_path / "set"))
    labeled = external_images(file, {"c"})
    assert labeled.index.images == ("a",)
    assert [image.image for image in labeled.left_out] == ["b", "d", "c"]
    assert labeled.digest == external_images(file, {"c"}).digest
    assert external_images(file, {"c"}, scc="akiec").index.images == ("b", "a")


def test_a_zip_that_python_cannot_unpack(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.write(tmp_path / "a.jpg", "mel/a.jpg")
    content = bytearray((tmp_path / "set.zip").read_bytes())
    content[content.find(b"PK\x01\x02") + 10] = 9
    (tmp_path / "set.zip").write_bytes(content)
    with pytest.raises(
        DataError, match=r"1 image cannot be used:\n  set\.zip: compressed with Deflate64, which Python"
    ):
        external_images(tmp_path / "set.zip", ())


def test_the_digest_changes_with_an_image(tmp_path: Path) -> None:
    write(tmp_path, "mel/a.jpg")
    before = external_images(tmp_path, ()).digest
    assert external_images(tmp_path, ()).digest == before
    Image.new("RGB", (50, 50)).save(tmp_path / "mel" / "a.jpg")
    assert external_images(tmp_path, ()).digest != before


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none", None, r"TEST=.*none: no such file or folder; it is a folder or zip file with images and a table"),
        ("a.csv", f"{HEADER[:-5]}\n", "no column vasc in its first line"),
        ("a.csv", HEADER, "names no image"),
        (
            "a.csv",
            f"{HEADER}\nx,1,0,0,0,0,0,0\n",
            r"1 image cannot be used:\n  no such image beside a\.csv: 1 image",
        ),
        ("", "", "no table of classes, and no images in folders of classes; TEST is a folder"),
    ],
)
def test_a_path_without_labeled_images_is_refused(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    if name and content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        external_images(tmp_path / name, ())


def test_what_a_server_would_refuse_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One picture over the limit made `make compare` unfinishable: its answers were missing for ever."""
    write(tmp_path, "nv/a.jpg", "nv/b.jpg")
    Image.effect_noise((2_000, 2_000), 90).convert("RGB").save(tmp_path / "nv" / "large.png")
    Image.new("L", (16, 400_000)).save(tmp_path / "nv" / "slow.tif", tiffinfo={278: 1})  # each row by itself
    labeled = external_images(tmp_path, (), largest=1_000_000)
    assert labeled.index.images == ("nv/a.jpg", "nv/b.jpg")
    reasons = {left_out.image: left_out.reason for left_out in labeled.left_out}
    size = (tmp_path / "nv" / "large.png").stat().st_size
    reason = f"over the 1 MB that the server takes: make serve MAX_REQUEST_MB=... ({size:,} bytes)"
    assert reasons["nv/large.png"] == reason
    monkeypatch.setattr("compare.labeled.SECONDS", 0.4)
    slow = {left_out.image: left_out.reason for left_out in external_images(tmp_path, ()).left_out}
    assert slow == {"nv/slow.tif": "not decoded in 0.4 seconds; save it anew, as a plain JPEG or PNG"}
