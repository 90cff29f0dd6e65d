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
from tests.faults.checkout import Harmed, free_ports
from zoo.serving.torchserve.process import state
from zoo.serving.torchserve.server import token

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

    def __init__(self, checkout: Harmed) -> None:
        self.checkout, self.port = checkout, free_ports()
        self.folder = checkout.runs / "serve"
        self.key_file = self.folder / "key_file.json"
        self.truth = {version: _truth(checkout, version) for version in ("baseline", "weighted_loss")}
        """By version and image, the seven probabilities that training wrote down."""
        images = {file.stem: file for file in checkout.data.glob("*/*.jpg")}
        self.pictures = {image: images[image].read_bytes() for image in list(self.truth["baseline"])[:24]}

    def start(self) -> str:
        return self.checkout.made("serve", PORT=str(self.port))

    def stop(self) -> None:
        self.checkout.made("stop")

    def zoo(self, **settings: Any) -> Zoo:
        return Zoo(self.port, self.key_file, **settings)

    def is_right(self, answer: Any, image: str, version: str) -> bool:
        """Whether an answer is to the picture `image`, by `version`, as training knows it."""
        told = [answer["probabilities"][name] for name in CLASSES]
        wanted = self.truth[version][image]
        same = max(abs(one - other) for one, other in zip(told, wanted, strict=True)) < 1e-4
        return bool(same and answer["entry"] == version)

    def ask(self, zoo: Zoo, number: int, version: str) -> None:
        """Ask for one of the pictures; the answer must be right."""
        image = list(self.pictures)[number % len(self.pictures)]
        answer = zoo.classify(self.pictures[image], version)
        assert self.is_right(answer, image, version), answer

    @property
    def server(self) -> psutil.Process:
        found = state(self.folder)
        assert found is not None, "no server runs"
        return psutil.Process(found["pid"])

    def worker(self, version: str) -> int | None:
        """The process that answers for `version`; none while there is none."""
        url = f"http://127.0.0.1:{self.port + 1}"
        with httpx.Client(trust_env=False, timeout=10) as client:
            key = token(self.key_file, url, "management", False, client)
            headers = {"Authorization": f"Bearer {key}"}
            rows = client.get(f"{url}/models/{MODEL}/{version}", headers=headers).json()[0]["workers"]
        return next((int(row["pid"]) for row in rows if row["status"] == "READY"), None)

    def processes(self) -> list[psutil.Process]:
        return [self.server, *self.server.children(recursive=True)]

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
    found = []
    for process in psutil.process_iter():
        try:
            if any(f"{folder}/" in f"{word}/" for word in process.cmdline()):  # pytest-1 is no part of pytest-13
                found.append(process)
        except psutil.Error:
            continue
    return found


def is_gone(pid: int) -> bool:
    """Whether a process is no more, or only its name is left."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True
