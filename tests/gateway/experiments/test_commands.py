"""The commands of live experiments, without a server and with one whose events are in PostgreSQL."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select

from gateway.events.clients import Clients
from gateway.events.database import connect, sqlite_url
from gateway.events.tables import ANSWERS, FEEDBACK
from gateway.events.writer import Writer
from gateway.experiments import files
from gateway.keys import Keys
from gateway.metrics import Metrics
from tests.faults.garbage import noise
from tests.faults.small_zoo import made
from tests.gateway.events.rows import answer, opinion
from tests.images import file_of
from tests.postgresql import PASSWORD, serving
from tests.servers import free_ports, pack
from zoo.study import ROOT, Study

STUDY = "phantom-demo"
ARMS = "baseline=0.9 transfer=0.1"


class Commands:
    """`python -m gateway` in a folder of its own."""

    def __init__(self, root: Path) -> None:
        self.root, self.runs = root, root / "runs" / STUDY

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = os.environ | {"LESION_ZOO_ROOT": str(self.root), "COLUMNS": "200"}
        command = [sys.executable, "-m", "gateway", *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    def done(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def fails(self, message: str, *arguments: str) -> None:
        failed = self.run(*arguments)
        assert failed.returncode == 2, failed.stdout
        assert failed.stderr.startswith("error: ")
        assert message in failed.stderr
        assert "Traceback" not in failed.stderr


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    return checkout(tmp_path)


def checkout(root: Path) -> Commands:
    commands = Commands(root)
    commands.runs.mkdir(parents=True)
    (commands.runs / "study.json").write_text(Study().model_dump_json())
    return commands


def test_an_experiment_s_life(commands: Commands) -> None:
    options = ("--shadow", "views lite1", "--metric", "macro_f1", "--difference", "0.05")
    printed = commands.done("experiment", "--arms", ARMS, *options, "--guard", "errors=0.1 answers=50", "--", "lite")
    assert "lite: baseline 0.9, transfer 0.1; unseen: views, lite1" in printed
    assert "the reference is baseline" in printed
    assert "nothing is served now" in printed
    now = files.read(commands.runs / "experiments" / "lite.toml")
    assert (now.metric, now.smallest_difference, now.shadows) == ("macro_f1", 0.05, ("views", "lite1"))
    assert (now.guard.errors, now.guard.latency_ms, now.guard.answers) == (0.1, 10_000, 50)
    assert "transfer 0.2" in commands.done("experiment", "--arms", "baseline=0.8 transfer=0.2", "--", "lite")
    commands.fails("its arms cannot", "experiment", "--arms", "baseline=0.8 views=0.2", "--", "lite")
    commands.fails("lite is running, and a model has one", "experiment", "--arms", ARMS, "--", "other")
    removed = {"transfer": {"time": 0.0, "reason": "60 of its last 100 answers were failures"}}
    files.change(commands.runs / "experiments", "lite", lambda one: files.update(one, removed=removed))
    listed = commands.done("experiments")
    for part in ("lite", "running", "transfer 0.2 (taken out)", "macro_f1", "1970-01-01 00:00: 60 of its last 100"):
        assert part in listed
    assert "lite has ended" in commands.done("stop-experiment", "lite")
    commands.fails("lite has ended already", "stop-experiment", "lite")
    assert "ended 20" in commands.done("experiments")
    (commands.runs / "experiments" / "bad.toml").write_text("[")
    commands.fails("bad.toml: ", "experiments")


@pytest.mark.parametrize(
    ("name", "arms", "message"),
    [
        ("Lite", ARMS, "'Lite' is no name: small letters, digits, _ and -; a letter first"),
        ("lite", "baseline=0.9 Lite=0.1", "'Lite' is no version's name: small letters, digits and _; a letter first"),
        ("lite", "baseline 0.9", 'ARMS=baseline 0.9: it is written as in ARMS="transfer=0.9 lite1=0.1"'),
        ("lite", "baseline=x transfer=0.1", "ARMS: 'x' is no number"),
        ("lite", "baseline=0.9", "add up to 0.9"),
        ("lite", "baseline=0.5 baseline=0.5", "it is written as in"),
        ("lite", "baseline=nan transfer=0.1", "is no number"),
    ],
)
def test_mistakes(commands: Commands, name: str, arms: str, message: str) -> None:
    commands.fails(message, "experiment", "--arms", arms, "--", name)
    assert not list(commands.root.rglob("*.toml"))


def test_forgetting(commands: Commands) -> None:
    commands.fails("whose events?", "forget")
    commands.fails("CLIENT=a b", "forget", "--client", "a b")
    commands.fails("there is no API key any more; name the one that the client had: KEY=", "forget", "--client", "anna")
    for name in ("phone", "tablet"):
        Keys(commands.root / "keys" / "api_keys.json").add(name, ["classify"], "1/second")
    commands.fails("no answer is kept of phantom-demo on this machine", "forget", "--client", "anna")
    assert not list(commands.runs.glob("events.*"))
    clients, writer = Clients(commands.runs, commands.runs / "keys"), Writer(sqlite_url(commands.runs), 365, Metrics())
    rows = [("phone", "anna"), ("tablet", "anna"), ("tablet", None), ("gone", "anna"), ("phone", "bert")]
    for key, own_name in rows:
        row = answer(client=clients.hash(key, own_name))
        writer.put(ANSWERS, row)
        writer.put(FEEDBACK, opinion(row))
    writer.close(10)
    assert commands.done("forget", "--client", "anna") == "deleted: 2 answers and 2 feedback of anna\n"
    assert commands.done("forget", "--key", "tablet") == "deleted: 1 answer and 1 feedback of the key tablet\n"
    # A key that was revoked since.
    assert commands.done("forget", "--client", "anna", "--key", "gone").startswith("deleted: 1 answer")
    assert commands.done("forget", "--client", "anna").startswith("deleted: 0 answers")


def test_forgetting_by_both_secrets(commands: Commands) -> None:
    keys = commands.root / "keys"
    Keys(keys / "api_keys.json").add("phone", ["classify"], "1/second")
    hashes = [Clients(commands.runs, keys).hash("phone", "anna")]
    (keys / "events.key").write_text("5" * 64)  # as docs/kubernetes.md has it, when there are events already
    hashes.append(Clients(commands.runs, keys).hash("phone", "anna"))
    assert hashes[0] != hashes[1]
    writer = Writer(sqlite_url(commands.runs), 365, Metrics())
    for one in hashes:
        writer.put(ANSWERS, answer(client=one))
    writer.close(10)
    assert commands.done("forget", "--client", "anna") == "deleted: 2 answers and 0 feedback of anna\n"


def test_no_password_on_the_command_line(commands: Commands) -> None:
    refused = commands.run("serve", "--events", f"postgresql://zoo:{PASSWORD}@127.0.0.1/events")
    assert refused.returncode == 2
    assert "put it into ~/.pgpass, or into PGPASSWORD" in refused.stderr
    assert PASSWORD not in refused.stderr


def test_a_mistyped_study_is_no_empty_one(commands: Commands) -> None:
    for command in (
        ["experiment", "--arms", ARMS, "lite"],
        ["experiments"],
        ["stop-experiment", "lite"],
        ["forget", "--key", "phone"],
        ["experiment-report"],
        ["promote", "--experiment", "lite"],
        ["drift"],
    ):
        commands.fails("no study 'phantom'; there are: phantom-demo", *command, "--study", "phantom")
    assert not (commands.root / "runs" / "phantom").exists()


@pytest.mark.server
def test_it_is_known_where_events_are_though_a_version_is_not_served(commands: Commands) -> None:
    store, ports = commands.root / "archives" / STUDY, (free_ports(), free_ports())
    pack(*made("classifier", commands.root), store / "baseline.mar")
    (store / "broken.mar").write_bytes(b"no archive")
    serve = ["serve", "--runtime", "local", "--archives", str(store), "--port", str(ports[0])]
    with serving() as postgresql:
        try:
            commands.fails("the other 1.", *serve, "--gateway-port", str(ports[1]), "--events", postgresql.url)
            assert (commands.runs / "events.url").read_text().strip() == postgresql.url
            # Refused before anything is started: the server that runs writes where it did.
            commands.fails("one of the runtime's", *serve, "--gateway-port", str(ports[0]))
            assert (commands.runs / "events.url").read_text().strip() == postgresql.url
        finally:
            commands.run("stop")


@pytest.mark.server
def test_a_server_with_its_events_in_postgresql(commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = checkout(tmp_path_factory.mktemp("elsewhere"))
    store, ports = commands.root / "archives" / STUDY, (free_ports(), free_ports())
    entry, model = made("classifier", commands.root)
    for name in ("baseline", "transfer"):
        pack(entry | {"entry": name}, model, store / f"{name}.mar")
    picture = file_of(noise())
    with serving() as postgresql:
        serve = ["serve", "--runtime", "local", "--archives", str(store), "--port", str(ports[0])]
        try:
            commands.done(*serve, "--gateway-port", str(ports[1]), "--events", postgresql.url, "--keep-days", "30")
            key = commands.done("key", "--scopes", "classify feedback admin", "phone").strip()
            commands.fails(
                "views is not served; there are: baseline, transfer",
                "experiment",
                "--arms",
                "baseline=0.5 views=0.5",
                "--",
                "halves",
            )
            printed = commands.done("experiment", "--arms", "baseline=0.5 transfer=0.5", "--", "halves")
            assert "nothing is served now" not in printed
            headers = {"Authorization": f"Bearer {key}", "X-Client-Id": "anna"}
            with httpx.Client(base_url=f"http://127.0.0.1:{ports[1]}", headers=headers, trust_env=False) as http:
                ids = [http.post("/v1/classify", content=picture).raise_for_status().json()["id"] for _ in range(5)]
                for one in ids:
                    assert http.post("/v1/feedback", json={"id": one, "label": "mel"}).status_code == 202
            # At once: what waits is deleted, too.
            assert commands.done("forget", "--client", "anna") == "deleted: 5 answers and 5 feedback of anna\n"
            with httpx.Client(base_url=f"http://127.0.0.1:{ports[1]}", headers=headers, trust_env=False) as http:
                for name in ("bert", "anna"):
                    http.post("/v1/classify", content=picture, headers={"X-Client-Id": name}).raise_for_status()
            # From another machine, where nothing was served.
            forget = ("forget", "--client", "bert", "--key", "phone", "--events", postgresql.url)
            (elsewhere.runs / "events.key").write_text("0" * 64)  # its own, of answers here
            elsewhere.fails("need its keys/events.key", *forget)
            (elsewhere.root / "keys").mkdir()
            shutil.copy2(commands.runs / "events.key", elsewhere.root / "keys")
            assert elsewhere.done(*forget) == "deleted: 1 answer and 0 feedback of bert\n"
            assert commands.done("stop") == "stopped\n"  # it writes what waits
            engine = connect(postgresql.url)
            with engine.connect() as connection:
                [row] = connection.execute(select(ANSWERS))
                assert connection.scalar(select(func.count()).select_from(FEEDBACK)) == 0
            engine.dispose()
            assert (row.experiment, row.status) == ("halves", 200)
            assert not (commands.runs / "events.sqlite").exists()
            # It is known where they are, and that cannot be read now.
            postgresql.stop()
            commands.fails("the events cannot be read", "forget", "--client", "anna")
            warned = commands.done(*serve, "--gateway-port", str(ports[1]))
            assert f"events: in {postgresql.url}, as at the last start; for SQLite: make serve EVENTS=sqlite" in warned
            assert "events: kept for 30 days, as at the last start" in warned
            assert "warning: the events cannot be read" in warned
        finally:
            commands.run("stop")
    kept = [file for file in commands.root.rglob("*") if file.is_file() and file.suffix != ".mar"]
    assert len(kept) > 5
    for file in kept:
        assert PASSWORD.encode() not in file.read_bytes(), file
    log = (commands.runs / "serve" / "gateway.log").read_text().splitlines()
    assert any(json.loads(line).get("event") == "the experiment has changed" for line in log)
    assert "anna" not in "\n".join(log)
    assert time.time() - row.time < 600
