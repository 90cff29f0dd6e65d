"""`python -m zoo.serving.ray.clear FOLDER ADDRESS`: delete what a server of FOLDER left on a cluster."""

import sys
import time
from pathlib import Path

from ray import serve

from lesions.errors import UserError, exit_on_user_error
from zoo.serving.ray.cluster import join
from zoo.serving.ray.details import statuses
from zoo.serving.ray.names import prefix_of
from zoo.serving.ray.runtime import check_cluster

SECONDS = 40
"""How long all of them together may take: a replica that is at work has 10 seconds to end in."""
POLL = 0.2


def clear(folder: Path) -> None:
    """Delete the applications of a server's folder, all at a time. Raises `UserError` where some do not end in time."""
    prefix, deadline = prefix_of(folder), time.monotonic() + SECONDS
    for name in statuses():
        if name.startswith(prefix):
            serve.delete(name, _blocking=False)
    while left := [name for name in statuses() if name.startswith(prefix)]:
        if time.monotonic() > deadline:
            raise UserError(f"{', '.join(left)}: not deleted after {SECONDS} s; ray status says what the cluster does")
        time.sleep(POLL)


if __name__ == "__main__":
    with exit_on_user_error():
        check_cluster(sys.argv[2])
        join(sys.argv[2])
        clear(Path(sys.argv[1]))
