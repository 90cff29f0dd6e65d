"""`python -m zoo.serving.ray.clear FOLDER ADDRESS`: delete what a killed server of FOLDER left on a cluster."""

import sys
from pathlib import Path

import ray
from ray import serve

from zoo.serving.ray.details import statuses
from zoo.serving.ray.names import prefix_of


def clear(folder: Path) -> None:
    """Delete the applications of a server's folder."""
    for name in statuses():
        if name.startswith(prefix_of(folder)):
            serve.delete(name)


if __name__ == "__main__":
    ray.init(address=sys.argv[2], configure_logging=False, log_to_driver=False)
    clear(Path(sys.argv[1]))
