"""`python -m zoo.serving.ray FOLDER`: serve what FOLDER/server.json says, until a signal comes."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from lesions.errors import exit_on_user_error
from zoo.serving.ray.archives import Archive
from zoo.serving.ray.clear import clear
from zoo.serving.ray.cluster import joined
from zoo.serving.ray.names import prefix_of
from zoo.serving.ray.program import CACHE, SETTINGS
from zoo.serving.ray.settings import Settings
from zoo.serving.ray.versions import open_all
from zoo.serving.rest.host import Note, read_state, serve
from zoo.serving.rest.versions import Versions


def main(folder: Path) -> None:
    """Deploy every version, and host the app."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # uvicorn raises it again in the end: then Ray is to end, too
    settings = Settings(**read_state(folder)[SETTINGS])

    def deploy(state: dict[str, Any], note: Note) -> Versions:
        source, cache = settings.archives or state["store"], "" if settings.address else str(folder / CACHE)
        archives = {
            name: Archive(source, file, state["archives"][file], cache) for file, name in state["files"].items()
        }
        return open_all(archives, settings, note, prefix_of(folder), loopback=not settings.address)

    with joined(folder, settings.address, os.cpu_count() or 1):
        try:
            serve(folder, deploy)
        finally:
            if settings.address:
                clear(folder)


if __name__ == "__main__":
    with exit_on_user_error():
        main(Path(sys.argv[1]))
