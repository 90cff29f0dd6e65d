"""`python -m gateway.server FOLDER`: the gateway before TorchServe, in a process of its own, until a signal comes."""

import json
import sys
from pathlib import Path

import uvicorn

from gateway.app import start
from gateway.process import STATE
from gateway.rest import RestBackend
from gateway.settings import Settings
from zoo.serving.rest.connections import UVICORN, allow_many

GRACE = 5
"""Seconds that requests have to end in when a signal has come; events that wait have some more."""


def main(folder: Path) -> None:
    """Serve what `STATE` in the folder says."""
    settings = Settings.model_validate(json.loads((folder / STATE).read_bytes())["settings"])
    allow_many()
    uvicorn.run(
        start(settings, RestBackend(settings.folder, settings.runtime_port)),
        host=settings.host,
        port=settings.port,
        **UVICORN,
        access_log=False,  # the gateway writes its own
        timeout_graceful_shutdown=GRACE,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
