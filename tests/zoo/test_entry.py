"""The schema: every entry is read; what cannot be is refused with the file, the key and what is allowed."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zoo.entry import ENTRIES, EntryError, catalog, read
from zoo.kinds.classifier import Classifier
from zoo.kinds.generator import Generator

THESIS = {
    "baseline", "weighted_loss", "balanced_sampling", "oversampling", "transfer", "transfer_oversampling",
    "transfer_weighted_loss", "transfer_oversampling_weighted_loss", "transfer_dynamic_sampling",
    "transfer_dynamic_sampling_50", "transfer_frozen_1", "transfer_frozen_2", "transfer_frozen_3",
    "gan_1", "gan_2", "gan_3",
}  # fmt: skip
OURS = {
    "projected_2", "duplicates_2", "projected_only", "augmented", "one_cycle", "adjusted", "views", "lite1", "lite2",
}  # fmt: skip


def test_the_catalog_has_the_theses_experiments_and_parents_come_first() -> None:
    entries = catalog()
    assert {name for name, entry in entries.items() if isinstance(entry, Classifier)} == THESIS | OURS
    order = list(entries)
    assert order.index("gan_2") < order.index("gan_3")
    assert order.index("sagan") < order.index("gan_1")
    assert order.index("projected") < order.index("projected_2")


def test_the_defaults_are_the_baseline() -> None:
    output = catalog()["baseline"].model_dump(exclude_defaults=True)
    assert set(output) == {"about", "thesis"}


@pytest.mark.parametrize("file", sorted(ENTRIES.glob("*.toml")), ids=lambda file: file.stem)
def test_an_entry_is_small(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= (
        15 if "generator" in file.read_text(encoding="utf-8").splitlines()[0] else 13
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('lose = "weighted_cross_entropy"', "unknown key 'lose'; allowed: kind, about, thesis, network, weights"),
        ('loss = "focal"', "loss: Input should be 'cross_entropy' or 'weighted_cross_entropy'"),
        ("epochs = -1", "epochs: Input should be greater than or equal to 0"),
        ("epochs = 0", "epochs = 0 needs a 'parent', whose weights are used"),
        ('epochs = 0\nparent = "other"\nbatch = 8', "epochs = 0 trains nothing: of the options, only 'parent'"),
        ('parent = "other"\nnetwork = "resnet18"', "'parent' brings its own network"),
        ("weight_decay = 0.1", "'weight_decay' needs optimizer = \"adamw\""),
        ('logit_adjustment = 1.0\nloss = "weighted_cross_entropy"', "both correct for the classes' shares"),
        ('logit_adjustment = 1.0\nsampling = "balanced"', "'logit_adjustment' does nothing where"),
        ("logit_adjustment = 1.0\nduplicates = true\nfill_up = [[9, 1]]", "needs the natural shares of classes"),
        ('logit_adjustment = 1.0\nreal = false\ngenerator = "sagan"', "'logit_adjustment' needs the natural shares"),
        ("views = 4", "views: Input should be 1 or 8"),
        ("ema = 1.0", "ema: Input should be less than 1"),
        ('augment = "mixup"', "augment: Input should be 'none', 'flips' or 'standard'"),
        ('epochs = "10"', "epochs: Input should be a valid integer"),
        ("learning_rate = nan", "learning_rate: "),
        ("draws = 35000", "'draws' needs sampling = \"balanced\""),
        ('sampling = "balanced"\ndraws = [[35000, 11]]', "the stages of 'draws' are longer than 'epochs'"),
        ('sampling = "balanced"\ndraws = [[35000, 2, 3]]', "draws"),
        ('parent = "other"\nweights = "pretrained"', "'parent' brings its own weights"),
        ("trainable_tensors = 2", "'trainable_tensors' would freeze random weights"),
        ('normalise = "weights"', "normalise = \"weights\" needs weights = \"pretrained\""),
        ("fill_up = [[500, 2]]", "'fill_up' needs a 'generator'"),
        ("real = false", "real = false needs a 'generator'"),
        ('real = false\ngenerator = "sagan"\nfill_up = [[500, 2]]', "with real = false there are none"),
        ('duplicates = true\ngenerator = "sagan"\nfill_up = [[500, 2]]', "'duplicates' are instead of a 'generator'"),
        ("duplicates = true", "'duplicates' are used by 'fill_up' only"),
        ('generator = "sagan"', "'generator' is used by 'fill_up' or real = false only"),
        ('generator = "sagan"\nfill_up = [[500, 11]]', "the stages of 'fill_up' are longer than 'epochs'"),
        ('thesis = { section = "4.1", f1 = 0.3 }', "unknown key 'thesis.f1'; allowed: section, macro_f1, accuracy"),
        ('kind = "transformer"', "kind"),
        ("epochs = = 3", "not TOML"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(f'about = "A try."\n{content}\n', encoding="utf-8")
    with pytest.raises(EntryError) as caught:
        read(file)
    assert message in str(caught.value)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"child": 'about = "x"\nparent = "nobody"'}, "parent: no classifier 'nobody'; there are: none yet"),
        (
            {"a": 'about = "x"\nparent = "b"', "b": 'about = "x"\nparent = "a"'},
            "parents go round in a circle: a -> b -> a",
        ),
        ({"a": 'about = "x"\ngenerator = "b"\nreal = false', "b": 'about = "x"'}, "generator: no generator 'b'"),
        ({"My-Entry": 'about = "x"'}, "a name has small letters, digits and _ only"),
        *(
            ({name: 'about = "x"'}, f"the zoo uses the name '{name}' itself")
            for name in ("source", "serve", "experiments", "pool", "report", "best")
        ),
    ],
)
def test_a_catalog_that_cannot_be_is_refused(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, content in files.items():
        (tmp_path / f"{name}.toml").write_text(content, encoding="utf-8")
    with pytest.raises(EntryError) as caught:
        catalog(tmp_path)
    assert message in str(caught.value)


def test_hidden_files_that_editors_leave_are_no_entries(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('about = "x"')
    (tmp_path / ".#mine.toml").symlink_to("somebody@host.1:2")
    assert list(catalog(tmp_path)) == ["mine"]


VALUES = st.recursive(
    st.one_of(st.integers(), st.booleans(), st.floats(), st.text(max_size=8).map(lambda text: text)),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


KEYS = st.sampled_from([*Classifier.model_fields, *(Generator.model_fields.keys() - {"kind"}), "other"])


@given(
    st.dictionaries(KEYS, VALUES, max_size=6) | st.dictionaries(KEYS, VALUES).map(lambda d: d | {"kind": "generator"}),
    st.binary(max_size=40),
)
def test_whatever_a_file_says_the_answer_is_an_entry_or_an_entry_error(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, object], tail: bytes
) -> None:
    def toml(value: object) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, list):
            return f"[{', '.join(map(toml, value))}]"
        if isinstance(value, str):
            return '"' + "".join(f"\\U{ord(c):08x}" for c in value if not 0xD800 <= ord(c) < 0xE000) + '"'
        return repr(value)

    file = tmp_path_factory.mktemp("fuzz") / "mine.toml"
    lines = [f"{key} = {toml(value)}" for key, value in content.items()]
    file.write_bytes("\n".join(lines).encode() + b"\n#" + tail)
    try:
        assert isinstance(read(file), Classifier | Generator)
    except EntryError as error:
        assert str(file) in str(error)


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
@example(b"epochs = " + b"9" * 5000)
@example(b"draws = " + b"[" * 100_000)
@example(b"a" + b".a" * 2000 + b" = 1")
def test_whatever_bytes_a_file_has_the_answer_is_an_entry_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "mine.toml").write_bytes(content)
    with pytest.raises(EntryError) as caught:  # at the least, it does not say what it is about
        catalog(folder)
    assert "mine.toml" in str(caught.value)
