"""`make experiment-demo`: an experiment from its start to its page, with phantom pictures as clients."""

import random
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
from tqdm import tqdm

from compare.labeled import LabeledImages, held_out_images
from gateway import start
from gateway.events.clients import HEADER
from gateway.events.database import reading, sqlite_url
from gateway.experiments import files
from gateway.experiments.experiment import Experiment
from gateway.keys import Keys
from gateway.settings import Settings
from gateway.verdict.answers import Answers, of_experiment
from gateway.verdict.verdict import Verdict, judge
from lesions.errors import UserError
from lesions.labels import CLASSES
from zoo.kinds.classifier import CLASSIFIER
from zoo.packaging.archive import identify
from zoo.serving.http import ServerError
from zoo.serving.limits import limits
from zoo.serving.process import check_free
from zoo.serving.runtime import LOOPBACK, get_runtime
from zoo.serving.torchserve.process import PORTS
from zoo.study import Folders

NAME, SEED = "demo", 7
CLIENTS, WAVES = 700, 30
"""Who send one to four pictures each, and in how many waves: labels come a wave later."""
PAUSE = 1.0
"""Seconds after each wave: shadows answer while clients ask nothing."""
LABELED = 0.85
"""The share of answers that get a label."""
PREFERRED = ("baseline", "transfer", "augmented")
"""The reference, the other arm and the shadow, where the study has them."""
SIDE_BY_SIDE = 2


class Asked(NamedTuple):
    """One answer, and the class that the picture really has."""

    id: str
    label: str


def run(folders: Folders) -> tuple[Verdict, Answers]:
    """Serve a study with the runtime `local` on ports of its own, run the experiment, and stop what was started.

    Nothing of it is left but what is returned. Raises `UserError` where the study has too few classifiers.
    """
    arms = _versions(folders)
    labeled = held_out_images(folders)
    with tempfile.TemporaryDirectory(prefix="lesion-zoo-demo-") as name:
        runs, port = Path(name).resolve(), _free_ports()
        keys = Keys(runs / "keys" / "api_keys.json")
        settings = Settings(
            host=LOOPBACK,
            port=port + len(PORTS),
            runtime_port=port,
            folder=runs / "serve",
            archives=folders.archives.resolve(),
            keys=runs / "keys" / "api_keys.json",
            max_request_bytes=limits().max_request_bytes,
        )
        key = keys.add(NAME, ["classify", "feedback"], "100000/minute")
        experiment = Experiment(name=NAME, started=time.time(), arms={arms[0]: 0.5, arms[1]: 0.5}, shadows=(arms[2],))
        print(f"{arms[0]} and {arms[1]} share what comes in, {arms[2]} answers unseen; the server starts", flush=True)
        try:
            start.serve(get_runtime("local"), settings, LOOPBACK, limits())
            files.start(runs / files.FOLDER, experiment)
            _ask_all(f"http://{LOOPBACK}:{settings.port}", key, labeled)
        except httpx.HTTPError as error:
            raise ServerError(f"the demo's own server did not answer ({error}); run it again") from None
        finally:
            start.stop(settings.folder)  # it writes what waits
        with reading(sqlite_url(runs)) as engine:
            answers = of_experiment(engine, experiment)
    experiment = experiment.model_copy(update={"ended": time.time()})
    return judge(experiment, answers, folders.name), answers


def _versions(folders: Folders) -> list[str]:
    """Two arms and a shadow. Raises `UserError` where there are fewer classifiers."""
    there = [file.stem for file in sorted(folders.archives.glob("*.mar")) if identify(file)[0] == CLASSIFIER.model]
    chosen = [name for name in PREFERRED if name in there] + [name for name in there if name not in PREFERRED]
    if len(chosen) < len(PREFERRED):
        raise UserError(
            f"two arms and a shadow are three classifiers, and {folders.archives} has {len(there)}; "
            f'make them first: make zoo ENTRIES="{" ".join(PREFERRED)}"'
        )
    return chosen[: len(PREFERRED)]


def _free_ports() -> int:
    """The first of as many free ports in a row as a runtime may take, and one more."""
    while True:
        first = random.SystemRandom().randrange(11_000, 32_000)
        try:
            check_free({f"{port}": (LOOPBACK, port) for port in range(first, first + len(PORTS) + 1)})
        except ServerError:
            continue
        return first


def _ask_all(url: str, key: str, labeled: LabeledImages) -> None:
    """Send pictures as clients, wave by wave, and labels of most answers a wave later."""
    drawn = np.random.default_rng(SEED)
    index = labeled.index
    pictures = [labeled.source.read(image) for image in index.images]
    calls = [
        (f"client-{client}", int(row))
        for client in range(CLIENTS)
        for row in drawn.integers(len(pictures), size=drawn.integers(1, 5))
    ]
    headers = {"Authorization": f"Bearer {key}"}
    bar = tqdm(total=len(calls), desc="asking", unit="picture", disable=None)
    with (
        httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False) as http,
        ThreadPoolExecutor(SIDE_BY_SIDE) as pool,
    ):

        def ask(call: tuple[str, int]) -> Asked:
            client, row = call
            response = http.post("/v1/classify", content=pictures[row], headers={HEADER: client})
            answer = response.raise_for_status().json()
            bar.update()
            return Asked(answer["id"], CLASSES[index.labels[row]])

        def label(asked: Asked) -> None:
            http.post("/v1/feedback", json={"id": asked.id, "label": asked.label}).raise_for_status()

        late: list[Asked] = []
        for wave in np.array_split(np.arange(len(calls)), WAVES):
            answered = list(pool.map(ask, [calls[number] for number in wave]))
            list(pool.map(label, late))
            late = [asked for asked in answered if drawn.random() < LABELED]
            time.sleep(PAUSE)
        list(pool.map(label, late))
    bar.close()
