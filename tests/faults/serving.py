"""A checkout that is served by `make serve`: who answers, what memory that takes, and what the right answers are."""

import csv
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import psutil

from compare.client import Zoo
from lesions.labels import CLASSES
from tests.faults.checkout import Harmed
from tests.servers import connect, free_ports, processes
from zoo.kinds.classifier import CLASSIFIER
from zoo.serving.connection import RestServer

MODEL = "lesion_classifier"


class Counting(httpx.HTTPTransport):
    """The network, with every answer's status counted, and what a 503 says."""

    def __init__(self) -> None:
        super().__init__(limits=httpx.Limits(max_connections=None, max_keepalive_connections=None))
        self.statuses: Counter[int] = Counter()
        self.refusals: Counter[str] = Counter()
        self._alone = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = super().handle_request(request)
        with self._alone:
            self.statuses[answer.status_code] += 1
            if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                self.refusals[answer.read().decode()] += 1
        return answer


class Served:
    """A checkout and its server, which may be dead."""

    def __init__(self, checkout: Harmed, runtime: str) -> None:
        self.checkout, self.port, self.runtime = checkout, free_ports(), runtime
        self.settings = {"PORT": str(self.port), "GATEWAY_PORT": str(free_ports()), "RUNTIME": runtime}
        """Of `make serve`."""
        self.folder = checkout.runs / "serve"
        self.key_file = self.folder / "key_file.json"
        self.truth = {version: _truth(checkout, version) for version in ("baseline", "weighted_loss")}
        """By version and image, the seven probabilities that training wrote down."""
        images = {file.stem: file for file in checkout.data.glob("*/*.jpg")}
        self.pictures = {image: images[image].read_bytes() for image in list(self.truth["baseline"])[:24]}

    def start(self) -> str:
        return self.checkout.made("serve", **self.settings)

    def stop(self) -> None:
        self.checkout.made("stop")

    def zoo(self, **settings: Any) -> Zoo:
        return connect(self.folder, self.port, **settings)

    def is_right(self, answer: Any, image: str, version: str) -> bool:
        """Whether an answer is to the picture `image`, by `version`, as training knows it."""
        messages = [answer["probabilities"][name] for name in CLASSES]
        wanted = self.truth[version][image]
        same = max(abs(one - other) for one, other in zip(messages, wanted, strict=True)) < 1e-4
        return bool(same and answer["entry"] == version)

    def ask(self, zoo: Zoo, number: int, version: str) -> None:
        """Ask for one of the pictures; the answer must be right."""
        image = list(self.pictures)[number % len(self.pictures)]
        answer = zoo.classify(self.pictures[image], version)
        assert self.is_right(answer, image, version), answer

    @property
    def server(self) -> psutil.Process:
        return self.processes()[0]

    def worker(self, version: str) -> int | None:
        """The process that answers for `version`; none while there is none."""
        server = RestServer(self.folder, self.port, seconds=10)
        [row] = [row for row in server.rows(CLASSIFIER.model) if row["modelVersion"] == version]
        server.close()
        return next((int(worker["pid"]) for worker in row["workers"] if worker["status"] == "READY"), None)

    def processes(self) -> list[psutil.Process]:
        return processes(self.folder)

    def memory(self) -> float:
        """MiB of the server and its workers; pages that they share are counted once."""
        return float(sum(process.memory_full_info().pss for process in self.processes())) / 2**20


def _truth(checkout: Harmed, version: str) -> dict[str, list[float]]:
    with (checkout.runs / version / "predictions.csv").open() as file:
        return {
            row["image"]: [float(row[name]) for name in CLASSES]
            for row in csv.DictReader(file)
            if row["part"] == "test"
        }


def processes_of(folder: Path) -> list[psutil.Process]:
    """Every process whose command names something in `folder`, a checkout's own."""
    result = []
    for process in psutil.process_iter():
        try:
            if any(f"{folder}/" in f"{word}/" for word in process.cmdline()):  # pytest-1 is no part of pytest-13
                result.append(process)
        except psutil.Error:
            continue
    return result


def is_gone(pid: int) -> bool:
    """Whether a process is no more, or only its name is left."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True
