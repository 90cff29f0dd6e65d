"""`make zoo LAUNCH="srun ..."` on a real Slurm of two nodes: the same bytes, also when a node dies in a training."""

import re
import shutil
import time
from pathlib import Path

import pytest

from tests.faults.checkout import Harmed, kill, wait_for
from tests.slurm import cluster
from tests.slurm.cluster import NODES, Cluster

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

if missing := cluster.missing():  # here, so that it is one line for all tests
    pytest.skip(f"not installed: {', '.join(missing)}; apt-get install slurm-wlm munge", allow_module_level=True)

SRUN = "srun -n1 -c1 --mem=500M"
ENTRIES = "baseline transfer oversampling sagan"


class OnSlurm(Harmed):
    """A checkout whose commands know the cluster."""

    slurm: Cluster

    def forget(self) -> None:
        """Forget what was trained and packed, and keep the decoded images and exported graphs."""
        for name in ("runs", "model_store"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    @property
    def environment(self) -> dict[str, str]:
        own = {key: self.slurm.environment[key] for key in ("SLURM_CONF", "PATH")}
        return super().environment | own


@pytest.fixture(scope="module")
def checkout(slurm: Cluster, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> OnSlurm:
    made = OnSlurm(tmp_path_factory.mktemp("on slurm") / "checkout", tiny)
    made.slurm = slurm
    made.edit("sagan", 'kind = "generator"', 'kind = "generator"\nsteps = 100\nwidth = 8')
    return made


@pytest.fixture(scope="module")
def wanted(checkout: OnSlurm) -> dict[str, str]:
    """The digests of a zoo that is made without LAUNCH."""
    checkout.made("zoo", "-j2", ENTRIES=ENTRIES)
    digests = checkout.digests()
    assert len(digests) == 2 * 4 + 1  # weights and archives, and the pretrained weights
    return digests


def test_both_nodes_run_commands(slurm: Cluster) -> None:
    for node in NODES:
        assert slurm.run("srun", "-w", node, "sh", "-c", "echo $SLURMD_NODENAME").stdout == f"{node}\n"


def test_the_same_bytes_as_without(checkout: OnSlurm, wanted: dict[str, str]) -> None:
    checkout.wipe()
    output = checkout.made("zoo", "-j2", ENTRIES=ENTRIES, LAUNCH=SRUN)
    assert checkout.digests() == wanted
    placed = re.findall(r"^on (\w+): \S+ -m (.+?) --study", output, re.MULTILINE)
    steps = {f"{command} {name}" for name in ENTRIES.split() for command in ("train", "zoo archive")}
    assert {step for _, step in placed} == steps - {"train sagan"} | {"gan sagan"}, "nothing else, as make's own steps"
    assert {node for node, _ in placed} == set(NODES)
    assert "baseline: epoch  1/3  macro F1" in output, "progress comes home"
    assert "srun` command is available" not in output, "Lightning has no advice"
    again = checkout.made("zoo", "-j2", ENTRIES=ENTRIES, LAUNCH=SRUN)
    assert "on d" not in again, "nothing is stale"


def test_a_node_that_dies_in_a_training(checkout: OnSlurm, slurm: Cluster, wanted: dict[str, str]) -> None:
    checkout.forget()
    log = checkout.folder / "make.log"
    process = checkout.begin("zoo", ENTRIES="baseline", LAUNCH=SRUN, log=log)
    try:
        wait_for(lambda: "baseline: epoch  1/" in log.read_text(), "an epoch")
        [died] = re.findall(r"^on (\w+): ", log.read_text(), re.MULTILINE)
        slurm.kill_node(died)
        assert process.wait(timeout=180) == 0, log.read_text()
    finally:
        kill(process)
    output = log.read_text()
    [other] = {*NODES} - {died}
    placed = re.findall(r"^on (\w+): \S+ -m (.+?) --study", output, re.MULTILINE)
    assert placed == [(died, "train baseline"), (other, "train baseline"), (other, "zoo archive baseline")]
    assert f"began on {died} and did not end: it was killed, or {died} died; trying again in 5 s" in output
    assert "baseline: goes on from epoch 2" in output
    assert checkout.digests() == {file: digest for file, digest in wanted.items() if "baseline" in file}
    slurm.start_node(died)
    deadline = time.monotonic() + 60
    while slurm.states() != dict.fromkeys(NODES, "idle"):
        assert time.monotonic() < deadline, slurm.states()
        time.sleep(0.5)


def test_jobs_of_sbatch(checkout: OnSlurm, wanted: dict[str, str]) -> None:
    checkout.forget()
    launch = "sbatch --quiet --wait --requeue -n1 -o runs/slurm-%j.log"
    checkout.made("zoo", ENTRIES="baseline", LAUNCH=launch)
    assert checkout.digests() == {file: digest for file, digest in wanted.items() if "baseline" in file}
    assert any("baseline: epoch  1/" in log.read_text() for log in checkout.folder.glob("runs/slurm-*.log"))


def test_sbatch_that_does_not_wait_is_an_error(checkout: OnSlurm, wanted: dict[str, str]) -> None:
    checkout.forget()
    refused = checkout.make("zoo", ENTRIES="baseline", LAUNCH="sbatch --quiet --begin=now+60 -n1 -o runs/slurm-%j.log")
    assert refused.returncode == 2
    assert "came back before the step began; with sbatch, add --wait" in refused.stderr
