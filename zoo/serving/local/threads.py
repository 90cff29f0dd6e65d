"""The archives that are served: opened side by side, each answered for by threads that its model's versions share."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Any

from zoo.serving.local.quota import processors
from zoo.serving.local.workers import Workers
from zoo.serving.rest.host import Note
from zoo.serving.rest.versions import Version, Versions
from zoo.serving.rest.worker import Sent, answer
from zoo.serving.service import Service
from zoo.serving.services import model_of, open_service, reason


class Threads:
    """A service in threads of this process (`zoo.serving.rest.worker.Worker`)."""

    def __init__(self, service: Service, workers: Workers, aside: Workers) -> None:
        """Other versions may have the same `workers`, and take turns; `aside` are for unseen answers: one may sleep."""
        self.entry, self._service, self._workers, self._aside = service.entry, service, workers, aside

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return self._workers.waiting(self)

    async def processes(self) -> list[dict[str, Any]]:
        """The one that this is."""
        return [{"id": str(os.getpid()), "status": "READY", "pid": os.getpid()}]

    async def answer(self, content: bytes, headers: Mapping[str, str], explain: bool, unseen: bool = False) -> Sent:
        """The answer to a body. Raises `Busy`."""
        workers = self._aside if unseen else self._workers
        return await workers.run(self, partial(answer, self._service, content, headers, explain))


def open_all(store: Path, files: Mapping[str, str], note: Note) -> Versions:
    """Open archives of the folder `store`, as many at a time as there are processors.

    `files` has the version's name by file name. Each model has as many threads of its own, so that the long drawing of
    a generator does not keep classifiers waiting.
    """
    versions: list[Version] = []
    workers: dict[str, tuple[Workers, Workers]] = {}
    with ThreadPoolExecutor(processors()) as pool:
        opening = {pool.submit(open_service, store / file): (file, name) for file, name in files.items()}
        for opened in as_completed(opening):
            file, name = opening[opened]
            try:
                service = opened.result()
            except Exception as error:
                note(name, reason(error))
                continue
            model = model_of(service)
            threads = workers.setdefault(model, (Workers(processors()), Workers(1)))
            versions.append(Version(model, service.entry["entry"], file, Threads(service, *threads)))
            note(name, "")
    return Versions(versions)
