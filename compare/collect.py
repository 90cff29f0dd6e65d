"""Ask every served version about every labeled image, once, through REST; an interrupted run goes on."""

import os
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout
from tqdm import tqdm

from compare.answers import Collection, key
from compare.client import Zoo
from compare.labeled import LabeledImages
from lesions.labels import CLASSES
from zoo.serving.http import NoServerError, ServerError

IN_FLIGHT = 16
"""Requests that wait for one version at a time: two batches, so that one fills while the other is computed."""
PATIENCE = 180.0
"""Seconds without any answer after which a run gives up: a server that is started again is back by then."""
FINAL = frozenset({400, 413})
"""Statuses that no second try will change."""


class Question(NamedTuple):
    """A version, and an image that it is to classify."""

    entry: str
    image: str


def describe_all(zoo: Zoo) -> dict[str, dict[str, Any]]:
    """The `entry.json` of every served classifier, by name. Raises `ServerError` where there is none."""
    names = zoo.versions()
    if not names:
        raise ServerError("no classifier is served; make some and serve them: make zoo serve")
    return {name: zoo.describe(name) for name in names}


def check_split(described: Mapping[str, Mapping[str, Any]], labeled: LabeledImages) -> None:
    """Raise `ServerError` for versions that were trained on another split: they may have seen these images."""
    if labeled.split_sha256 is None:
        return
    if others := [name for name, entry in described.items() if entry["split_sha256"] != labeled.split_sha256]:
        raise ServerError(
            f"trained on another split than the one to be scored, so that test images may have been learned: "
            f"{', '.join(others)}; make and serve them again: make zoo serve"
        )


def collect(
    zoo: Zoo,
    described: Mapping[str, Mapping[str, Any]],
    labeled: LabeledImages,
    folder: Path,
    archives: Mapping[str, str],
    patience: float = PATIENCE,
) -> None:
    """Have every version in `described` answer every image; the answers go to `folder`, a file for each version.

    `archives` are the sha256 of the archives, by version, as far as they are known. What was answered before is not
    asked again. Raises `ServerError` where an image stays unanswered (naming what is missing), where a version changes
    meanwhile, or another run is at work; what was answered is kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    images = labeled.digest
    with ExitStack() as stack:
        try:
            stack.enter_context(FileLock(folder / ".lock", timeout=0))
        except Timeout:
            raise ServerError("another `make compare` of this study is at work") from None
        files = {
            name: stack.enter_context(
                Collection(folder / f"{name}.jsonl", entry, key(entry, archives.get(name, ""), images), images)
            )
            for name, entry in described.items()
        }
        pending = _in_order(files, labeled)
        total = len(files) * len(labeled.index)
        with tqdm(total=total, initial=total - len(pending), desc="asking", unit="answer", disable=None) as bar:
            _Run(zoo, described, labeled, files, bar).until_answered(pending, patience)
        if pending:
            _check_same(zoo, described)


def _in_order(files: Mapping[str, Collection], labeled: LabeledImages) -> list[Question]:
    """Every open question: as many versions side by side as there are processors, so that each has full batches."""
    names, together = list(files), os.cpu_count() or 1
    blocks = [names[start : start + together] for start in range(0, len(names), together)]
    return [
        Question(name, image)
        for block in blocks
        for image in labeled.index.images
        for name in block
        if image not in files[name].answered
    ]


class _Run(NamedTuple):
    """One run: what is common to all its questions."""

    zoo: Zoo
    described: Mapping[str, Mapping[str, Any]]
    labeled: LabeledImages
    files: Mapping[str, Collection]
    bar: "tqdm[Any]"

    def until_answered(self, pending: list[Question], patience: float) -> None:
        """Ask again and again, until all is answered, or no answer has come for `patience` seconds."""
        deadline = time.monotonic() + patience
        while pending:
            failed = self.once(pending)
            final = all(error.code in FINAL for error in failed.values())
            if len(failed) < len(pending):
                deadline = time.monotonic() + patience
            elif final or time.monotonic() > deadline:
                raise ServerError(_missing(failed))
            pending = [question for question in pending if question in failed]
            if pending and not final:
                time.sleep(min(2.0, patience / 10))
                state = ""
                try:
                    _check_same(self.zoo, {name: self.described[name] for name in {entry for entry, _ in pending}})
                except Changed:
                    raise
                except ServerError:
                    state = "waiting for the server"
                self.bar.set_postfix_str(state)

    def once(self, pending: Sequence[Question]) -> dict[Question, ServerError]:
        """Ask each question once (the client tries again by itself); returns the errors of those that failed."""
        server_gone = threading.Event()

        def ask(question: Question) -> None:
            if server_gone.is_set():
                raise NoServerError("the server went away")
            content = self.labeled.source.read(question.image)
            began = time.perf_counter()
            try:
                answer = self.zoo.classify(content, question.entry)
            except NoServerError:
                server_gone.set()  # the others need not find out one by one
                raise
            took = 1000 * (time.perf_counter() - began)
            self.files[question.entry].add(question.image, took, [answer["probabilities"][name] for name in CLASSES])

        failed: dict[Question, ServerError] = {}
        threads = IN_FLIGHT * min(os.cpu_count() or 1, len(self.files))
        with ThreadPoolExecutor(threads) as pool:
            futures = {pool.submit(ask, question): question for question in pending}
            try:
                for future in as_completed(futures):
                    try:
                        future.result()
                        self.bar.update()
                    except ServerError as error:
                        failed[futures[future]] = error
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return failed


class Changed(ServerError):
    """A version was replaced since it answered before."""


def _check_same(zoo: Zoo, described: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise `Changed` where a version was replaced since it was `described`, and `ServerError` where none can tell."""
    if changed := [name for name, entry in described.items() if zoo.describe(name) != entry]:
        raise Changed(f"replaced while being asked: {', '.join(changed)}; run `make compare` again")


def _missing(failed: Mapping[Question, ServerError]) -> str:
    """A message: what was not answered, and why."""
    lines = [f"{len(failed)} answers are missing; those that came are kept, and `make compare` goes on from them:"]
    for name in sorted({question.entry for question in failed}):
        images = sorted(question.image for question in failed if question.entry == name)
        some = ", ".join(images[:5]) + (", ..." if len(images) > 5 else "")
        lines.append(f"  {name}: {len(images)} ({some}): {failed[Question(name, images[0])]}")
    return "\n".join(lines)
