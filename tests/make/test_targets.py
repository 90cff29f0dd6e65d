"""Real make: what is built, what is built again, which settings a target has, and what a wrong one says."""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.make.checkout import PARTS, ROOT, Checkout, make
from tests.networks import save_network


@pytest.mark.slow
def test_what_changed_is_built_and_nothing_else(checkout: Checkout) -> None:
    study = "tiny-demo-test_efficientnet-w"
    entries = "baseline transfer weighted_loss"
    first = checkout.make("zoo", ENTRIES=entries)
    assert first.returncode == 0, first.stderr
    assert "make zoo took" in first.stdout
    begun = checkout.built()
    archives = {f"model_store/{study}/{name}.mar" for name in entries.split()}
    assert archives <= begun.keys()
    assert f"runs/{study}/source/weights.safetensors" in begun

    assert checkout.make("zoo", ENTRIES=entries).returncode == 0
    assert checkout.built() == begun, "nothing changed, nothing is built"

    checkout.edit("transfer", "\nweights =", "\n# a comment\nweights =")
    assert checkout.make("zoo", ENTRIES=entries).returncode == 0
    assert checkout.built() == begun, "a comment is no change"

    checkout.edit("transfer", 'weights = "pretrained"', 'weights = "pretrained"\nlearning_rate = 0.001')
    assert checkout.make("zoo", ENTRIES=entries).returncode == 0
    now = checkout.built()
    assert {file for file in now if now[file] != begun[file]} == {
        f"model_store/{study}/transfer.mar",
        f"runs/{study}/transfer/weights.safetensors",
    }

    other = checkout.make("zoo", ENTRIES="baseline", SEED="7")
    assert other.returncode == 0, other.stderr
    assert f"model_store/{study.replace('-w', '-w-seed7')}/baseline.mar" in checkout.built()
    assert checkout.make("zoo", ENTRIES=entries).returncode == 0
    assert {file: time for file, time in checkout.built().items() if "seed7" not in file} == now, "untouched and fresh"

    listed = checkout.make("list")
    assert listed.stdout.count("archived") == 3
    recipe = json.loads((checkout.folder / "runs" / study / "transfer" / "recipe.json").read_text())
    assert recipe["learning_rate"] == 0.001


def test_wrong_settings_get_one_line_and_leave_nothing(checkout: Checkout) -> None:
    (checkout.folder / "zoo" / "entries" / "mine.toml").write_text('about = "x"\nlose = 1\n')
    cut = checkout.folder / "cut"
    cut.mkdir()
    (cut / "HAM10000_metadata.csv").write_text("lesion_id,image_id,dx\nl,i,nv\n")
    (cut / "HAM10000_images_part_1.zip").write_bytes(b"PK\x03\x04 and no more")
    cases: tuple[tuple[dict[str, str], str], ...] = (
        ({}, "zoo/entries/mine.toml: unknown key 'lose'; allowed: "),
        ({"ENTRIES": "nobody"}, "unknown key 'lose'"),
        ({"DATA": "/nowhere"}, "DATA=/nowhere: no such folder"),
        ({"SCALE": "huge"}, "SCALE=huge: Input should be 'demo', 'small', 'medium' or 'paper'"),
        ({"WEIGHTS": "nothing.safetensors"}, "nothing.safetensors: no such file"),
    )
    for settings, message in cases:
        refused = checkout.make("zoo", **settings)
        assert refused.returncode == 2
        assert message in refused.stderr
        assert "Traceback" not in refused.stderr
    (checkout.folder / "zoo" / "entries" / "mine.toml").unlink()
    lost = checkout.folder / "lost"
    lost.mkdir()
    (lost / "HAM10000_metadata.csv").write_text("lesion_id,image_id,dx\nl,i,nv\n")
    for settings, message in (
        ({"ENTRIES": "nobody"}, "no entry nobody; there are: adjusted, augmented, "),
        ({"DATA": str(cut)}, "HAM10000_images_part_1.zip: not a whole zip file (cut short?)"),
        ({"DATA": str(lost)}, "names 1 image not in"),
    ):
        refused = checkout.make("zoo", **settings)
        assert refused.returncode == 2
        assert message in refused.stderr
    assert not checkout.built()
    assert not list(checkout.folder.glob("runs/*/*/last.ckpt"))
    assert not list(checkout.folder.rglob("*.part"))


def test_weights_of_another_network_stop_it_before_anything_is_trained(checkout: Checkout) -> None:
    save_network("test_resnet", checkout.folder / "w.safetensors")
    refused = checkout.make("zoo", ENTRIES="baseline transfer")
    assert refused.returncode == 2
    assert "the weights of another network" in refused.stderr
    assert not checkout.built()


def test_too_little_disk_is_an_error_before_anything_is_installed(checkout: Checkout) -> None:
    (checkout.folder / ".venv").unlink()
    refused = checkout.make("zoo", FREE_GB="1000000")
    assert refused.returncode == 2
    assert "error: 1000000 GB of free disk are needed to install, and there are " in refused.stderr
    assert not (checkout.folder / ".venv").exists()


def test_help_names_every_target_and_setting(checkout: Checkout) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE)
    [study_settings] = re.findall(r"^STUDY_SETTINGS := (.*)$", makefile, re.MULTILINE)
    defaults = re.findall(r"^([A-Z][A-Z0-9]*) \?= ", makefile, re.MULTILINE)  # JOBS, PORT, ...
    lists = " ".join(re.findall(r"^(?:OF_[a-z-]+|EVERYWHERE) := (.*)$", makefile, re.MULTILINE))
    settings = {*study_settings.split(), *defaults, *re.findall(r"(?<![(\w])[A-Z_]+\b", lists)} - {"FREE_GB"}
    used = re.findall(r"\$\(call (?:quoted|given|set|option,[a-z-]+),([A-Z_]+)\)", makefile)
    assert set(used) <= settings | {"HAM10000", "NEAREST"}
    settings -= {"HAM10000"}  # its target explains it
    assert {"DATA", "SCALE", "JOBS", "PYTHON3", "HOST", "IMAGE", "CLASS", "TEST", "STRICT", "FORCE", "OUT"} <= settings
    lines = checkout.make("help").stdout.splitlines()
    listed = [line.split()[0] for line in lines if re.match("  [a-z]", line)]
    assert listed == targets
    assert len(targets) > 20
    explained = "\n".join(lines[lines.index("Settings of a study (make zoo DATA=... SCALE=...):") + 1 :])
    for setting in settings:
        assert re.search(rf"^  {setting}\s|\b{setting}=", explained, re.MULTILINE), setting


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("zoo data=/nope", "make zoo has no setting data; did you mean DATA? It has: DATA, SCALE, SPLIT, "),
        ("zoo ENTRY=transfer", "make zoo has no setting ENTRY; did you mean ENTRIES? It has: DATA, SCALE, "),
        ("predict IMAGES=x.jpg", "make predict has no setting IMAGES; did you mean IMAGE? It has: "),
        ("serve max_request_mb=20", "make serve has no setting max_request_mb; did you mean MAX_REQUEST_MB? It has: "),
        ("list serve qqq=1", "make list serve has no setting qqq; it has: DATA, "),
        ("describe SCALE=demo", "make describe has no setting SCALE; it has: DATA, SCC\n"),
        ("format X=1", "make format has no setting X; it has: none\n"),
        ("-n -j2 test ham10000=/x", "make test has no setting ham10000; did you mean HAM10000? It has: HAM10000, J"),
        ("experiment-report NAMES=x", "make experiment-report has no setting NAMES; did you mean NAME? It has: DATA, "),
        ("stop-experiment ENTRY=x", "make stop-experiment has no setting ENTRY; it has: DATA, "),
        ("data=/x", "make help has no setting data; did you mean DATA? It has: "),
    ],
)
def test_a_setting_that_is_none_of_the_target_is_an_error(arguments: str, message: str) -> None:
    refused = make(*arguments.split())
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith(f"error: {message}")
    assert len(refused.stderr.splitlines()) == 2  # and make's own


@pytest.mark.parametrize("arguments", ["promote ENTRY=best FORCE=0", "rollback FORCE=no", "compare TEST=x STRICT=0"])
def test_a_setting_that_is_on_or_left_out_takes_no_other_value(arguments: str) -> None:
    refused = make("-n", *arguments.split())
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "is 1 or left out, not" in refused.stderr


def test_no_entries_are_not_all_entries() -> None:
    refused = make("zoo", "ENTRIES=")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "ENTRIES is empty: it names entries, or is left out for all of them" in refused.stderr


@pytest.mark.parametrize("goal", ["zoo", "source", "archives", "clean"])
def test_make_builds_in_its_own_folder_only(checkout: Checkout, tmp_path: Path, goal: str) -> None:
    refused = make(goal, folder=checkout.folder, LESION_ZOO_ROOT=str(tmp_path / "elsewhere"))
    assert refused.returncode == 2
    assert f"LESION_ZOO_ROOT is set, and make builds in this folder: for make {goal}, unset it" in refused.stderr
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("flag", ["-n", "-q", "-t", "-kn"])
def test_there_is_no_dry_run_of_make_zoo(checkout: Checkout, flag: str) -> None:
    (checkout.folder / "model_store" / "tiny-demo-test_efficientnet-w").mkdir(parents=True)
    orphan = checkout.folder / "model_store" / "tiny-demo-test_efficientnet-w" / "no_entry.mar"
    orphan.touch()
    refused = checkout.make(flag, "zoo")
    assert refused.returncode == 2
    assert "make zoo has no dry run" in refused.stderr
    assert orphan.exists()
    assert not (checkout.folder / "runs").exists()


@pytest.mark.parametrize("jobs", ["", "0", "foo", "-1", "1.5", "it's"])
@pytest.mark.parametrize("goal", ["zoo", "test"])
def test_trainings_side_by_side_are_a_whole_number(checkout: Checkout, goal: str, jobs: str) -> None:
    for refused in (
        make(goal, f"JOBS={jobs}", folder=checkout.folder),
        make(goal, folder=checkout.folder, JOBS=jobs),
    ):
        assert refused.returncode == 2
        [line, _] = refused.stderr.splitlines()  # and make's own
        assert line == f"error: JOBS={jobs}: how many trainings side by side, a whole number from 1"
        assert not (checkout.folder / "runs").exists()


@pytest.mark.parametrize("goal", ["source", "archives"])
def test_what_is_made_of_no_study_is_an_error(checkout: Checkout, goal: str) -> None:
    refused = make(goal, folder=checkout.folder)
    assert refused.returncode == 2
    assert f"error: of which study? make {goal} STUDY=..." in refused.stderr
    refused = make(goal, "STUDY=typo", folder=checkout.folder)
    assert refused.returncode == 2
    assert "error: no study typo here: make zoo makes one" in refused.stderr


def test_a_setting_is_of_the_command_line_and_of_the_outermost_make() -> None:
    assert make("-n", "list", "PYTHON3=python3", "FREE_GB=1", data="/x").returncode == 0
    assert make("-n", "list", "SCALE=demo", MAKEFLAGS="X=1").returncode == 2
    assert make("-n", "list", MAKELEVEL="1", MAKEFLAGS="X=1").returncode == 0
    assert make("-n", "nonsense", "data=1").stderr.startswith("make: *** No rule to make target")


def test_what_documents_and_messages_tell_people_to_type_is_taken() -> None:
    files = [*ROOT.glob("*.md"), ROOT / "Makefile", ROOT / "deploy" / "README.md", *ROOT.glob("docs/*.md")]
    files += [file for room in ("lesions", "zoo", "gan", "compare", "gateway") for file in (ROOT / room).rglob("*.py")]
    text = "\n".join(file.read_text() for file in files)
    goals = re.findall(r"\bmake ((?:[a-z-]+ )+)((?: ?[A-Z][A-Z0-9_]*=(?:\"[^\"\n]*\"|[^ `;,)\n\"]*))+)", text)
    typed = {(goal.strip(), *re.findall(r"([A-Z][A-Z0-9_]*)=", settings)) for goal, settings in goals}
    assert len(typed) > 15
    assert ("stop-experiment", "NAME") in typed
    for goal, *settings in sorted(typed - {("zoo", "ENTRY")}):  # an example of a mistake
        refused = make(*goal.split(), *(f"{setting}=x" for setting in settings), "qqq=1")  # so that nothing is done
        assert re.findall(r"has no setting (\w+)", refused.stderr) == ["qqq"], refused.stderr


def test_a_variable_of_the_environment_is_no_setting() -> None:
    makefile = (ROOT / "Makefile").read_text()
    used = set(re.findall(r"\$\(call (?:quoted|given|set|option,[a-z-]+),([A-Z_]+)\)", makefile))
    assert {"KEY", "NAME", "SHADOW", "FORCE", "STRICT", "IMAGE", "EXPERIMENT", "ENTRIES"} <= used
    exported: Any = dict.fromkeys(used - {"HAM10000", "NEAREST", "PORT", "GATEWAY_PORT"}, "secret123")
    for target, *settings in (
        ("forget", "CLIENT=anna"),
        ("predict", "IMAGE=mole.jpg"),
        ("explain", "IMAGE=mole.jpg"),
        ("promote", "ENTRY=best"),
        ("promote", "EXPERIMENT=lite"),
        *((target,) for target in ["serve", "key", "manifests", "experiment", "stop-experiment", "experiment-report"]),
        *((target,) for target in ["drift", "compare", "rollback", "synthesize", "describe"]),
    ):
        printed = make("-n", target, *settings, **exported)
        assert printed.returncode == 0, printed.stderr
        assert "secret123" not in printed.stdout, target
        assert not {"--force", "--strict"} & set(printed.stdout.split()), target
    [port] = re.findall(r"--port '(\d+)'", make("-n", "serve", PORT="9090").stdout)
    assert port == "9090", "it has a default, which the environment may replace"


@pytest.mark.parametrize("name", ["a b", "it's", 'say "x"', "$HOME $(x)", "$x", "a;b", "`id`", "a,b"])
def test_any_path_reaches_the_command_as_it_is(checkout: Checkout, name: str) -> None:
    python = checkout.folder / ".venv"
    python.unlink()
    (python / "bin").mkdir(parents=True)
    (python / "installed").touch()
    os.utime(checkout.folder / "requirements.lock", (0, 0))
    # Nothing else is there: other commands of a virtual environment have its path in them, and break when it is moved.
    stand_in = f'#!{sys.executable}\nimport os, sys\nprint(repr([*sys.argv[1:], os.environ.get("HAM10000")]))\n'
    (python / "bin" / "python").write_text(stand_in)
    (python / "bin" / "python").chmod(0o755)

    def printed(target: str, *settings: str) -> str:
        done = make(target, *(f"{setting}={name}" for setting in settings), folder=checkout.folder)
        assert done.returncode == 0, done.stderr
        return done.stdout

    for target, *settings in (
        ("predict", "IMAGE", "OUT", "DATA", "ENTRY"),
        ("explain", "IMAGE", "OUT", "WEIGHTS", "CLASS"),
        ("synthesize", "OUT"),
        ("compare", "TEST"),
        ("promote", "ENTRY"),
        ("describe", "DATA"),
        ("test", "HAM10000"),
        ("list", "DATA"),
    ):
        output = printed(target, *settings)
        for setting in settings:
            if setting in ("DATA", "WEIGHTS") and target != "describe":
                continue  # it is in the study's name, which the first command prints
            assert repr(name) in output, (target, setting, output)


def test_commands_are_run_by_the_interpreter_of_this_checkout() -> None:
    """Scripts in .venv/bin have its path in their first line, which is another one when the checkout has moved."""
    files = [ROOT / "Makefile", ROOT / ".pre-commit-config.yaml", *ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    files += [ROOT / "deploy" / "README.md", *(file for room in PARTS for file in (ROOT / room).rglob("*.py"))]
    for file in files:
        if file.name != "CHANGELOG.md":
            assert set(re.findall(r"\.venv/bin/([\w-]+)", file.read_text())) <= {"python"}, file


def test_an_archive_is_packed_again_where_what_packs_it_changed(checkout: Checkout) -> None:
    runs, archive = checkout.folder / "runs" / "mine", checkout.folder / "model_store" / "mine" / "plain.mar"
    for file in (runs / "plain" / "recipe.json", runs / "plain" / "about.json", runs / "plain" / "weights.safetensors"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    (runs / "entries.mk").write_text("ENTRIES_MADE := plain\nPOOLS :=\nSOURCES :=\n")
    archive.parent.mkdir(parents=True)
    archive.touch()
    for packer in (
        "packaging/card.py",
        "packaging/model_card.md.j2",
        "kinds/ensemble.py",
        "serving/torchserve/archiver.py",
    ):
        assert "zoo archive" not in checkout.make("-n", "archives", STUDY="mine").stdout
        now = archive.stat().st_mtime
        os.utime(checkout.folder / "zoo" / packer, (now + 10, now + 10))
        assert "zoo archive plain" in checkout.make("-n", "archives", STUDY="mine").stdout, packer
        os.utime(archive, (now + 20, now + 20))
