"""How far a generator's training is, for the person who waits: a bar on a terminal of its own, else lines."""

import os
import sys
import time
from typing import Any

from tqdm import tqdm

from gan.quality import Quality


class Progress:
    """Shows `name`, the step, the quality, and an estimate of the time left. To be closed, also after an error."""

    def __init__(self, name: str, steps: int, done: int) -> None:
        self.name, self.steps, self.begun_with, self.done = name, steps, done, done
        self.started = time.monotonic()
        if done:
            print(f"{name}: goes on from step {done}", file=sys.stderr, flush=True)
        # Trainings side by side under `make -j` share one terminal, where two bars would overwrite each other.
        wanted = sys.stderr.isatty() and "--jobserver" not in os.environ.get("MAKEFLAGS", "")
        self.bar: tqdm[Any] | None = tqdm(total=steps, initial=done, desc=name, unit="step") if wanted else None

    def step(self) -> None:
        """One step more."""
        self.done += 1
        if self.bar is not None:
            self.bar.update()

    def say(self, quality: Quality) -> None:
        """What the images are worth at this step."""
        score = f"KID {quality.kid:.3f}  Fréchet {quality.frechet:.1f}  coverage {quality.coverage:.2f}"
        if self.bar is not None:
            self.bar.set_postfix_str(score)
            return
        left = (time.monotonic() - self.started) / (self.done - self.begun_with) * (self.steps - self.done)
        minutes, seconds = divmod(round(left), 60)
        wait = f"about {minutes}:{seconds:02} left" if left else "trained"
        print(f"{self.name}: step {self.done:>5}/{self.steps}  {score}  {wait}", file=sys.stderr, flush=True)

    def warn(self, warning: str) -> None:
        """Something that a person should look at, without ending the bar."""
        tqdm.write(f"{self.name}: step {self.done}: warning: {warning}", file=sys.stderr)

    def close(self) -> None:
        """End the bar."""
        if self.bar is not None:
            self.bar.close()
