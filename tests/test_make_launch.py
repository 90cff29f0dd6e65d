"""Real make with LAUNCH, and a node whose clock is an hour behind or ahead: just what is stale is made."""

import hashlib
import os
import time

import pytest

from tests.test_make import Checkout, checkout
from zoo.models.weights import origin_of

__all__ = ["checkout"]  # the fixture

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
@pytest.mark.parametrize("hours", [-1, 1])
def test_times_of_another_clock(checkout: Checkout, hours: int) -> None:
    node = checkout.folder / "node"
    node.write_text(NODE.format(hours=hours))
    node.chmod(0o755)

    def zoo() -> str:
        done = checkout.make("zoo", ENTRIES="baseline", LAUNCH="./node")
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    first = zoo()
    assert [line.split()[4:6] for line in first.splitlines() if line.startswith("on ")] == [
        ["train", "baseline"],
        ["zoo", "archive"],
    ]
    files, begun = Files(checkout), checkout.built()
    assert all(abs(when / 1e9 - time.time()) < 600 for when in begun.values())
    assert f"on {os.uname().nodename}: " not in zoo()
    assert checkout.built() == begun, "nothing is done for ever"

    digests = files.digests()
    files.date(hours)
    output = zoo()
    assert "baseline: trained by this recipe already" in output
    assert "baseline: epoch" not in output
    assert files.digests() == digests
    now = checkout.built()
    assert f"on {os.uname().nodename}: " not in zoo()
    assert checkout.built() == now, "nor then"

    files.date(hours)
    checkout.edit("baseline", "about =", "learning_rate = 0.001\nabout =")
    recipe = origin_of(files.weights)["recipe_sha256"]
    assert "baseline: epoch  1/" in zoo(), "and nothing stale is taken for fresh"
    assert origin_of(files.weights)["recipe_sha256"] != recipe
    assert files.digests()[1] != digests[1]
