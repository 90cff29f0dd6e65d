"""The progress of a long command: a bar on a terminal, else lines, both with an estimate of the time left."""

import os
import sys
import time
from typing import Any

from tqdm import tqdm


class ProgressBar:
    """A bar on a terminal; elsewhere, and beside other commands of `make -j`, a line for each `report`.

    Commands side by side share one terminal, where their bars would overwrite each other.
    To be closed, also after an error.
    """

    def __init__(self, name: str, unit: str, total: int, done: int = 0) -> None:
        self.name, self.total, self.first, self.done = name, total, done, done
        self.started = time.monotonic()
        hidden = not sys.stderr.isatty() or "--jobserver" in os.environ.get("MAKEFLAGS", "")
        self.bar: tqdm[Any] = tqdm(total=total, initial=done, desc=name, unit=unit, disable=hidden)

    def update(self, count: int = 1) -> None:
        """Count `count` more units as done."""
        self.done += count
        self.bar.update(count)

    def report(self, position: str, scores: str) -> None:
        """Show `scores` beside the bar, or print them in a line with the `position` ("epoch 2/9") and the time left."""
        if not self.bar.disable:
            self.bar.set_postfix_str(scores)
            return
        seconds = (time.monotonic() - self.started) / (self.done - self.first) * (self.total - self.done)
        left = f"about {tqdm.format_interval(seconds)} left" if seconds else "trained"
        print(f"{self.name}: {position}  {scores}  {left}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """End the bar."""
        self.bar.close()
