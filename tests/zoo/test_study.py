"""Studies: names, defaults, and settings that cannot be or that contradict each other."""

from pathlib import Path

import pytest

import zoo.study
from zoo.study import Folders, Study, StudyError, settle


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "HAM10000"
    folder.mkdir()
    (tmp_path / "mobilenetv2_100_imagenet.safetensors").touch()
    return folder


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({}, "phantom-demo"),
        ({"scale": "small"}, "phantom-small"),
        ({"scale": "paper"}, "phantom-paper"),
        ({"scale": "paper", "arch": "tf_efficientnet_lite0"}, "phantom-paper-tf_efficientnet_lite0"),
        ({"arch": "tf_efficientnet_b0"}, "phantom-demo-tf_efficientnet_b0"),
        ({"data": "DATA"}, "ham10000-paper"),
        ({"data": "DATA", "scale": "small", "arch": "tf_efficientnet_lite0"}, "ham10000-small"),
        ({"data": "DATA", "scale": "small", "arch": "tf_efficientnet_lite1"}, "ham10000-small-tf_efficientnet_lite1"),
        ({"data": "DATA", "weights": "imagenet"}, "ham10000-paper"),
        ({"arch": "mobilenetv2_100", "weights": "FILE"}, "phantom-demo-mobilenetv2_100-imagenet"),
        (
            {"split": "thesis_without_siblings", "seed": "7", "threads": "2"},
            "phantom-demo-thesis_without_siblings-seed7-threads2",
        ),
        ({"data": "DATA", "scale": "medium"}, "ham10000-medium"),
        ({"data": "DATA", "scale": "small", "split": "fold3"}, "ham10000-small-fold3"),
        ({"data": "DATA", "scale": "small", "split": "fold3", "seed": "4"}, "ham10000-small-fold3-seed4"),
        ({"seed": "7", "generator_seed": "8"}, "phantom-demo-seed7-generator_seed8"),
        ({"data": "DATA", "scale": "small", "scc": "AKIEC", "seed": "7"}, "ham10000-small-seed7-scc_akiec"),
    ],
)
def test_the_name_says_what_differs_from_the_default(
    tmp_path: Path, data: Path, given: dict[str, str], name: str
) -> None:
    places = {"DATA": str(data), "FILE": str(tmp_path / "mobilenetv2_100_imagenet.safetensors")}
    folders, _ = settle({key: places.get(value, value) for key, value in given.items()}, root=tmp_path)
    assert folders.name == name
    assert folders.runs == tmp_path / "runs" / name


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"scale": "huge"}, "SCALE=huge: Input should be 'demo', 'small', 'medium' or 'paper'"),
        ({"seed": "x"}, "SEED=x: "),
        ({"seed": "-1"}, "SEED=-1: "),
        ({"threads": "0"}, "THREADS=0: "),
        ({"arch": "a b"}, "ARCH=a b: "),
        ({"scc": "scc"}, "SCC=scc: Input should be 'akiec', 'bcc', 'bkl', 'df', 'mel', 'nv' or 'vasc'"),
        ({"data": ""}, "DATA=: String should have at least 1 character"),
        ({"data": "~nobody_of_this_name/x"}, "DATA=~nobody_of_this_name/x: "),
        ({"data": "/nowhere/at/all"}, "DATA=/nowhere/at/all: no such folder or file"),
        ({"weights": "/nowhere.safetensors"}, "WEIGHTS=/nowhere.safetensors: no such file; it is imagenet, or a .safe"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, given: dict[str, str], message: str) -> None:
    with pytest.raises(StudyError) as caught:
        settle(given, root=tmp_path)
    assert message in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_name_must_be_a_plain_one(tmp_path: Path) -> None:
    for name in ("../elsewhere", "a/b", "", "a b", "-x"):
        with pytest.raises(StudyError, match="letters, digits"):
            settle({}, name, tmp_path)


def test_links_in_a_circle_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(StudyError, match=r"DATA=.*/loop: "):
        settle({"data": str(tmp_path / "loop")}, root=tmp_path)


def test_two_folders_of_one_name_are_not_one_study(tmp_path: Path) -> None:
    one, other = (tmp_path / place / "photos" for place in "ab")
    for folder in (one, other):
        folder.mkdir(parents=True)
    folders, study = settle({"data": str(one)}, root=tmp_path)
    folders.runs.mkdir(parents=True)
    (folders.runs / "study.json").write_text(study.model_dump_json())
    assert settle({"data": str(one)}, root=tmp_path)[0] == folders
    with pytest.raises(StudyError, match=f"was made with DATA={one}; name another one with STUDY="):
        settle({"data": str(other)}, root=tmp_path)


def test_a_checkout_may_be_moved_with_its_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    (before / "data" / "photos").mkdir(parents=True)
    (before / "w.safetensors").touch()
    monkeypatch.setattr(zoo.study, "ROOT", before)
    given = {"data": str(before / "data" / "photos"), "weights": str(before / "w.safetensors")}
    folders, study = settle(given, root=before)
    folders.runs.mkdir(parents=True)
    earlier = study.model_copy(update=given)  # as it was written when paths were absolute
    (folders.runs / "study.json").write_text(earlier.model_dump_json())
    assert settle(given, root=before)[1] == study
    (folders.runs / "study.json").write_text(study.model_dump_json())
    before.rename(after)
    monkeypatch.setattr(zoo.study, "ROOT", after)
    monkeypatch.chdir(after)
    moved, same = settle({"data": "data/photos", "weights": "w.safetensors"}, root=after)
    assert same == study
    assert moved.name == folders.name
    assert moved.source(same) == after / "data" / "photos"


def test_a_damaged_file_of_settings_is_an_error(tmp_path: Path) -> None:
    folders = Folders("mine", tmp_path)
    folders.runs.mkdir(parents=True)
    (folders.runs / "study.json").write_bytes(b"\xff\xfe")
    with pytest.raises(StudyError, match="is damaged"):
        folders.read()


def test_settings_are_kept_and_checked(tmp_path: Path) -> None:
    folders, study = settle({"seed": "7"}, "mine", tmp_path)
    folders.runs.mkdir(parents=True)
    (folders.runs / "study.json").write_text(study.model_dump_json())
    assert settle({}, "mine", tmp_path)[1] == study, "a name alone means the settings it was made with"
    assert settle({"seed": "7"}, "mine", tmp_path)[1] == study
    with pytest.raises(StudyError, match="was made with SEED=7; name another one with STUDY="):
        settle({"seed": "8"}, "mine", tmp_path)


def test_an_unknown_study_names_those_that_are_there(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="there is none yet"):
        Folders("mine", tmp_path).read()
    other = Folders("other", tmp_path)
    other.runs.mkdir(parents=True)
    (other.runs / "study.json").write_text(Study().model_dump_json())
    with pytest.raises(StudyError, match="there are: other"):
        Folders("mine", tmp_path).read()


def test_folders_of_one_name_do_not_share_a_cache(tmp_path: Path) -> None:
    one, other = (Study(data=f"/{place}/ham10000", scale="small", weights="imagenet") for place in "ab")
    assert Folders("x").store(one) != Folders("x").store(other)


def test_a_study_of_an_earlier_version_has_no_scc(tmp_path: Path) -> None:
    folders = Folders("mine", tmp_path)
    folders.runs.mkdir(parents=True)
    (folders.runs / "study.json").write_text(Study().model_dump_json(exclude={"scc"}))
    assert folders.read() == Study()
    assert Folders("x").store(Study()) != Folders("x").store(Study(scc="akiec"))


def test_a_fold_has_its_own_seed(tmp_path: Path) -> None:
    _, study = settle({"split": "fold4"}, root=tmp_path)
    assert (study.seed, study.generator_seed, study.scale) == (4, 4, "demo")
    with pytest.raises(StudyError, match="SPLIT=fold6: Input should be 'lesion', 'thesis', "):
        settle({"split": "fold6"}, root=tmp_path)
