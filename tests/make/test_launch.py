"""Real make with LAUNCH, and a node whose clock is an hour behind or ahead: just what is stale is made."""

import hashlib
import os
import time

import pytest

from tests.make.checkout import Checkout
from zoo.models.weights import origin_of

NODE = """\
#!/bin/sh
"$@"
code=$?
output=$(basename "$2" .step)
touch -d "{hours} hour" "$(dirname "$2")/${{output#.}}"
exit $code
"""
"""A launcher: the files that a step makes there get that machine's time."""


class Files:
    """The weights and the archive of `baseline`."""

    def __init__(self, checkout: Checkout) -> None:
        [self.weights] = checkout.folder.glob("runs/*/baseline/weights.safetensors")
        [self.archive] = checkout.folder.glob("model_store/*/baseline.mar")

    def digests(self) -> list[str]:
        return [hashlib.sha256(file.read_bytes()).hexdigest() for file in (self.weights, self.archive)]

    def date(self, hours: int) -> None:
        """As a step leaves them on such a node, where make is killed before it sees to them."""
        for file in (self.weights, self.archive):
            os.utime(file, (time.time() + 3600 * hours,) * 2)


@pytest.mark.slow
def test_times_of_another_clock(checkout: Checkout) -> None:
    node, here = checkout.folder / "node", f"on {os.uname().nodename}: "

    def zoo(clock: int) -> str:
        node.write_text(NODE.format(hours=clock))
        node.chmod(0o755)
        done = checkout.make("zoo", ENTRIES="baseline", LAUNCH="./node")
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    first = zoo(-1)
    steps = [line.split(" -m ")[1].split(" --")[0] for line in first.splitlines() if line.startswith(here)]
    assert steps == ["train baseline", "zoo archive baseline"], "and not the pretrained weights"
    files, begun = Files(checkout), checkout.built()
    digests, recipe = files.digests(), origin_of(files.weights)["recipe_sha256"]
    assert all(abs(when / 1e9 - time.time()) < 600 for when in begun.values())
    assert here not in zoo(-1)
    assert checkout.built() == begun, "nothing is done for ever"

    for hours in (-1, 1):
        files.date(hours)
        output = zoo(hours)
        assert "baseline: trained by this recipe already" in output
        assert "baseline: epoch" not in output
        assert files.digests() == digests

    files.date(1)
    checkout.edit("baseline", "about =", "learning_rate = 0.001\nabout =")
    assert "baseline: epoch  1/" in zoo(1), "nothing stale is taken for fresh"
    assert origin_of(files.weights)["recipe_sha256"] != recipe
    assert files.digests()[1] != digests[1]
    assert here not in zoo(1), "nor is it done again"
