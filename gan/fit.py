"""Train one generator by its recipe, choose its best step, and measure it: `runs/<study>/<generator>/`."""

import csv
import io
import json
import os
import sys
import time
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import save
from torch.utils.tensorboard import SummaryWriter

from gan import canvas
from gan.data import TrainingBatches, load_part
from gan.features import Features
from gan.monitor import TrainingMonitor, has_diverged
from gan.networks import Generator
from gan.progress import Progress
from gan.quality import Quality, QualityEvaluator
from gan.snapshot import restored, snapshot, tensors
from gan.trainer import GANTrainer, StepMetrics
from lesions import split, store
from lesions.errors import UserError
from lesions.files import atomic_write, file_lock, is_json_object
from zoo import generator_recipe
from zoo.build import integrity
from zoo.build.provenance import begin, timed
from zoo.generator_recipe import GeneratorRecipe
from zoo.study import Folders, StudyError

LOG_EVERY = 10
"""Steps from one line of losses.csv to the next."""

CHECKPOINT_SECONDS = 120
"""A checkpoint is written with every canvas, and at the latest after so long."""


class Diverged(UserError):
    """A training whose losses are no numbers any more, before any quality was measured."""


def fit(folders: Folders, name: str) -> None:
    """Train the generator `name` by its `recipe.json`, or go on with it, and write weights and scores.

    `weights.safetensors` (the best snapshot) is written last: where it is newer than the recipe, all of the run is
    whole. Raises `StudyError` where data or split are not those of the recipe, `WrongWeights` where the source
    backbone's do not fit, `Diverged` where there is nothing to keep.
    """
    run = folders.run(name)
    resolved = generator_recipe.read(run / "recipe.json")
    weights = run / "weights.safetensors"
    with file_lock(run):
        if integrity.is_complete(run, resolved.sha256, integrity.GENERATOR):
            print(f"{name}: trained by this recipe already")
            os.utime(weights)
            return
        torch.set_num_threads(resolved.threads)
        torch.use_deterministic_algorithms(True, warn_only=True)
        run_of = Run(folders, resolved)
        with timed(run / "training.json"):
            run_of.train()
            run_of.finish()


class Run:
    """One training: the game, the judge, and what has been found so far."""

    def __init__(self, folders: Folders, resolved: GeneratorRecipe) -> None:
        self.recipe, self.folder = resolved, folders.run(resolved.entry)
        study = folders.read()
        loaded = store.load(folders.store(study))
        if loaded.digest != resolved.store_sha256 or split.digest(folders.split) != resolved.split_sha256:
            raise StudyError(
                f"{resolved.entry}: images or split are no longer those of its recipe; run `make zoo` again"
            )
        parts = split.read(folders.split, loaded.index.images)
        training, validation = (load_part(loaded, parts, number, resolved.pixels) for number in (0, 1))
        source = folders.run("source") / "weights.safetensors"
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        backbone = Features(resolved.architecture, source, study.pixels)
        self.judge = QualityEvaluator(backbone.to(device), training, validation, resolved.seed)
        self.training = TrainingBatches(resolved, training)
        self.game = GANTrainer(resolved, device)
        self.done, self.best_step = 0, 0
        self.history: list[dict[str, Any]] = []
        self.rows: list[list[float]] = []
        self.best: dict[str, torch.Tensor] = {}
        self.failed = False
        self._resume()
        self.board = SummaryWriter(self.folder / "logs" / "tensorboard", purge_step=self.done)

    def train(self) -> None:
        """Every step that is left, with canvases, measurements and checkpoints as they fall due."""
        progress, monitor, saved = (
            Progress(self.recipe.entry, self.recipe.steps, self.done),
            TrainingMonitor(),
            time.monotonic(),
        )
        try:
            while self.done < self.recipe.steps and not self.failed:
                step = self.game.step(self.done, self.training.batch(self.done))
                self.failed = has_diverged(step)
                self.done += 1
                progress.step()
                if self.failed:
                    progress.warn("the losses are no numbers any more: training ends here")
                for warning in monitor.look(step):
                    progress.warn(warning)
                self._log(step)
                due = self._due(progress)
                if due or time.monotonic() - saved > CHECKPOINT_SECONDS:
                    self._save()
                    saved = time.monotonic()
        finally:
            progress.close()
            self.board.close()
        if not self.best:
            raise Diverged(f"{self.recipe.entry}: the losses are no numbers at step {self.done}; lower learning rates")

    def _due(self, progress: Progress) -> bool:
        """Draw the canvas and measure where this step asks for it; whether it asked."""
        every, last = self.recipe, self.done == self.recipe.steps
        picture, measurement = (last or self.done % n == 0 for n in (every.canvas_every, every.quality_every))
        if self.failed or not (picture or measurement):
            return False
        served = self._served()
        if picture:
            drawn = canvas.canvas(served, self.recipe.seed)
            canvas.write(self.folder / "canvas" / f"step_{self.done:07}.png", drawn)
            self.board.add_image("canvas", drawn, self.done, dataformats="HWC")
        if measurement:
            self._note(served, self.judge.measure(served))
            progress.say(Quality.model_validate(self.history[-1]))
        return True

    def _served(self) -> Generator:
        return snapshot(self.game.served, self.recipe.width, self.recipe.seed)

    def _note(self, served: Generator, quality: Quality) -> None:
        """Remember a measurement, and the weights if they are the best so far (the earliest of equals)."""
        if all(quality.kid < past["kid"] for past in self.history):
            self.best, self.best_step = tensors(served), self.done
        self.history.append({"step": self.done} | quality.model_dump())
        for key, value in quality.model_dump(exclude={"kid_by_class"}).items():
            self.board.add_scalar(f"quality/{key}", value, self.done)
        rows = [{key: value for key, value in past.items() if key != "kid_by_class"} for past in self.history]
        _table(self.folder / "quality.csv", list(rows[0]), [list(row.values()) for row in rows])

    def _log(self, step: StepMetrics) -> None:
        if self.done % LOG_EVERY == 0 or self.failed:
            self.rows.append([self.done, *(float(f"{value:.5g}") for value in step)])
            for key, value in step._asdict().items():
                self.board.add_scalar(f"step/{key}", value, self.done)

    def _save(self) -> None:
        """The checkpoint, aside and then renamed; beside it what people read."""
        _table(self.folder / "losses.csv", ["step", *StepMetrics._fields], self.rows)
        state = {
            "recipe_sha256": self.recipe.sha256,
            "done": self.done,
            "failed": self.failed,
            "game": self.game.state(),
            "history": self.history,
            "rows": self.rows,
            "best": self.best,
            "best_step": self.best_step,
        }
        content = io.BytesIO()
        torch.save(state, content)
        atomic_write(self.folder / "last.ckpt", content.getvalue())

    def _resume(self) -> None:
        """Go on from the checkpoint, if it is one of this recipe."""
        checkpoint = self.folder / "last.ckpt"
        try:
            state = torch.load(checkpoint, map_location="cpu", weights_only=True)
            if state["recipe_sha256"] != self.recipe.sha256:
                raise KeyError("another recipe")
        except (OSError, RuntimeError, LookupError, TypeError, ValueError, EOFError, UnpicklingError):  # or has pickles
            checkpoint.unlink(missing_ok=True)
            begin(self.folder / "training.json")
            return
        self.done, self.failed, self.history, self.rows = (state[key] for key in ("done", "failed", "history", "rows"))
        self.best, self.best_step = state["best"], state["best_step"]
        self.game.load(state["game"])
        if not is_json_object(self.folder / "training.json"):
            begin(self.folder / "training.json")

    def finish(self) -> None:
        """Look for copies, and write the last snapshot, the report, and the best snapshot."""
        best = restored(self.best, self.recipe.pixels, self.recipe.width).to(self.game.device)
        report = {
            "recipe_sha256": self.recipe.sha256,
            "features": f"{self.recipe.architecture}, frozen, weights: {self.recipe.source}",
            "precision": "bf16" if self.game.bf16 else "fp32",
            "steps": self.done,
            "failed": self.failed,
            "best_step": self.best_step,
            "floor": self.judge.floor.model_dump(),
            "best": next(past for past in self.history if past["step"] == self.best_step),
            "last": self.history[-1],
            "distance_to_training": self.judge.nearest(best, self.folder / "neighbors.png"),
            "history": self.history,
        }
        canvas.write(self.folder / "canvas.png", canvas.canvas(best, self.recipe.seed))
        metadata = {"origin": json.dumps({"recipe_sha256": self.recipe.sha256})}
        atomic_write(self.folder / "last.safetensors", save(tensors(self._served()), metadata))
        atomic_write(self.folder / "scores.json", json.dumps(report, indent=1) + "\n")
        atomic_write(self.folder / "weights.safetensors", save(self.best, metadata))
        best_kid = min(past["kid"] for past in self.history)
        print(
            f"{self.recipe.entry}: best at step {self.best_step}: KID {best_kid:.3f}, "
            f"of real images {self.judge.floor.kid:.3f}",
            file=sys.stderr,
        )


def _table(file: Path, header: list[str], rows: list[list[Any]]) -> None:
    content = io.StringIO()
    csv.writer(content).writerows([header, *rows])
    atomic_write(file, content.getvalue())
