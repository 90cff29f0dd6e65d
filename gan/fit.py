"""Train one generator by its recipe, choose its best step, and measure it: `runs/<study>/<generator>/`."""

import csv
import hashlib
import io
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from gan import canvas, checkpoint
from gan.data import TrainingBatches, load_part
from gan.drawing import GeneratorGraph
from gan.features import Features
from gan.monitor import TrainingMonitor, has_diverged
from gan.networks import Generator
from gan.quality import QualityEvaluator
from gan.snapshot import restored, snapshot, tensors
from gan.trainer import GANTrainer, StepMetrics
from lesions import split, store
from lesions.errors import UserError
from lesions.files import atomic_write, file_lock, is_json_object
from zoo.build import integrity
from zoo.build.provenance import begin, timed
from zoo.kinds.generator import Chooser, GeneratorRecipe
from zoo.models.determinism import compute_deterministically
from zoo.models.export import export_generator
from zoo.models.session import MODEL
from zoo.progress import ProgressBar
from zoo.study import Folders, StudyError

LOG_EVERY = 10  # steps from one line of losses.csv to the next
CHECKPOINT_SECONDS = 120
"""The longest time from one checkpoint to the next; one is also written with every canvas and measurement."""


class Diverged(UserError):
    """A training with an infinite loss, or one that is not a number, before the first measurement of quality."""


def fit(folders: Folders, name: str) -> None:
    """Train the generator `name` by its `recipe.json`, or continue its training, and write weights and scores.

    `model.onnx` and `weights.safetensors` are the best snapshot. The latter is written last: where it is newer than
    the recipe, the run is complete. Raises `StudyError` where data or split are not those of the recipe, or the recipe
    changed meanwhile, `WeightsError` where the source backbone's weights do not fit, `Diverged` where there is no
    snapshot to keep.
    """
    folder = folders.run(name)
    recipe = GeneratorRecipe.read(folder / "recipe.json")
    with file_lock(folder):
        if integrity.is_complete(folder, recipe):
            print(f"{name}: trained by this recipe already")
            os.utime(folder / "weights.safetensors")
            return
        compute_deterministically(recipe.threads)
        run = Run(folders, recipe)
        with timed(folder / "training.json") as note:
            run.train(note)
            if GeneratorRecipe.read(folder / "recipe.json") != recipe:
                raise StudyError(f"{name}: its recipe was changed while it trained; run `make zoo` again")
            run.finish()


class Run:
    """The training of one generator: its data, its networks, the evaluator, and all results so far."""

    def __init__(self, folders: Folders, recipe: GeneratorRecipe) -> None:
        self.recipe, self.folder, self.graphs = recipe, folders.run(recipe.entry), folders.graphs
        study = folders.read()
        images = store.load(folders.store(study))
        if images.digest != recipe.store_sha256 or split.digest(folders.split) != recipe.split_sha256:
            raise StudyError(f"{recipe.entry}: images or split are no longer those of its recipe; run `make zoo` again")
        parts = split.read(folders.split, images.index.images)
        training, validation = (load_part(images, parts, number, recipe.pixels) for number in (0, 1))
        source = folders.run("source") / "weights.safetensors"
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        features = Features(recipe.architecture, source, study.pixels).to(device)
        self.evaluator = QualityEvaluator(features, training, validation, recipe.seed)
        self.batches = TrainingBatches(recipe, training)
        self.trainer = GANTrainer(recipe, device, self.batches.shares)
        self.step, self.best_step = 0, 0  # steps done; the step of the best snapshot
        self.history: list[dict[str, Any]] = []  # measurements of quality
        self.losses: list[list[float]] = []  # rows of losses.csv
        self.best: dict[str, torch.Tensor] = {}  # the best snapshot
        self.failed = False
        self.monitor = TrainingMonitor()
        self._resume()
        self.board = SummaryWriter(self.folder / "logs" / "tensorboard", purge_step=self.step + 1)

    def train(self, saved: Callable[[], object]) -> None:
        """Do all steps that are left, with canvases, measurements and checkpoints at the recipe's intervals.

        `saved` is called after each checkpoint.
        """
        last_saved = time.monotonic()
        progress = ProgressBar(self.recipe.entry, "step", self.recipe.steps, self.step)
        with closing(progress), closing(self.board):
            while self.step < self.recipe.steps and not self.failed:
                step_metrics = self.trainer.step(self.step, self.batches.batch(self.step))
                self.failed = has_diverged(step_metrics)
                self.step += 1
                progress.update()
                self._warn(["the losses are no numbers any more: training ends here"] if self.failed else [])
                self._warn(self.monitor.update(step_metrics))
                self._log(step_metrics)
                if self._evaluate(progress) or time.monotonic() - last_saved > CHECKPOINT_SECONDS:
                    self._save()
                    saved()
                    last_saved = time.monotonic()
        if self.failed:
            self._write_losses()  # also those since the last checkpoint
        if not self.best:
            raise Diverged(f"{self.recipe.entry}: the losses are no numbers at step {self.step}; lower learning rates")

    def _evaluate(self, progress: ProgressBar) -> bool:
        """Draw the canvas and measure quality where the recipe asks for it at this step; whether it asks for any."""
        last = self.step == self.recipe.steps
        draws = last or self.step % self.recipe.canvas_every == 0
        measures = last or self.step % self.recipe.quality_every == 0
        if self.failed or not (draws or measures):
            return False
        generator = self._snapshot()
        if draws:
            picture = canvas.draw_canvas(generator, self.recipe.seed)
            canvas.write_png(self.folder / "canvas" / f"step_{self.step:07}.png", picture)
            self.board.add_image("canvas", picture, self.step, dataformats="HWC")
        if measures:
            self._measure(generator, progress)
        return True

    def _snapshot(self) -> Generator:
        return snapshot(self.trainer.served_generator, self.recipe.width, self.recipe.seed, self.batches.shares)

    def _measure(self, generator: Generator, progress: ProgressBar) -> None:
        """Measure a snapshot; keep its weights if they are the best so far (of equals, the earliest)."""
        quality = self.evaluator.measure(generator)
        if all(_is_better(quality.model_dump(), earlier, self.recipe.best_by) for earlier in self.history):
            self.best, self.best_step = tensors(generator), self.step
        self.history.append({"step": self.step} | quality.model_dump())
        for key, value in quality.model_dump(exclude={"kid_by_class"}).items():
            self.board.add_scalar(f"quality/{key}", value, self.step)
        columns = [key for key in self.history[0] if key != "kid_by_class"]
        _write_table(self.folder / "quality.csv", columns, [[row[key] for key in columns] for row in self.history])
        scores = f"KID {quality.kid:.3f}  recall {quality.recall:.2f}  coverage {quality.coverage:.2f}"
        progress.report(f"step {self.step:>5}/{self.recipe.steps}", f"{scores}  GAN-train {quality.gan_train:.2f}")
        self._warn(self.monitor.check_quality(quality))

    def _warn(self, warnings: list[str]) -> None:
        for warning in warnings:
            tqdm.write(f"{self.recipe.entry}: step {self.step}: warning: {warning}", file=sys.stderr)

    def _log(self, step_metrics: StepMetrics) -> None:
        if self.step % LOG_EVERY == 0 or self.failed:
            self.losses.append([self.step, *(float(f"{value:.5g}") for value in step_metrics)])
            for key, value in step_metrics._asdict().items():
                self.board.add_scalar(f"step/{key}", value, self.step)

    def _state(self) -> dict[str, Any]:
        """The content of a checkpoint: all that the next step and the scores depend on."""
        results = {key: getattr(self, key) for key in ("step", "failed", "history", "losses", "best", "best_step")}
        return {"recipe_sha256": self.recipe.sha256, "trainer": self.trainer.state(), "results": results}

    def _save(self) -> None:
        """Write the checkpoint, and the losses for people to read."""
        self._write_losses()
        checkpoint.save(self.folder / "last.ckpt", self._state())

    def _write_losses(self) -> None:
        _write_table(self.folder / "losses.csv", ["step", *StepMetrics._fields], self.losses)

    def _resume(self) -> None:
        """Continue from the checkpoint, if there is one of this recipe and version."""
        state = checkpoint.load(self.folder / "last.ckpt", self._state())
        if state is not None:
            self.trainer.load(state["trainer"])
            vars(self).update(state["results"])
            print(f"{self.recipe.entry}: goes on from step {self.step}", file=sys.stderr, flush=True)
        else:
            for file in (self.folder / "canvas").glob("step_*.png"):  # of another recipe
                file.unlink()
        if state is None or not is_json_object(self.folder / "training.json"):
            begin(self.folder / "training.json")

    def finish(self) -> None:
        """Compare with the training images, and write model, scores, and the last and the best snapshot."""
        best = restored(self.best, self.recipe.pixels, self.recipe.width).to(self.trainer.device)
        best_quality = next(row for row in self.history if row["step"] == self.best_step)
        graph = GeneratorGraph(restored(self.best, self.recipe.pixels, self.recipe.width))
        model = export_generator(graph, self.recipe.pixels, self.recipe.width, self.graphs)
        scores = {
            "recipe_sha256": self.recipe.sha256,
            "model_sha256": hashlib.sha256(model).hexdigest(),
            "features": f"{self.recipe.architecture}, frozen, weights: {self.recipe.source}",
            "precision": "bf16" if self.trainer.bf16 else "fp32",
            "steps": self.step,
            "failed": self.failed,
            "best_step": self.best_step,
            "best_by": self.recipe.best_by,
            "floor": self.evaluator.floor.model_dump(),
            "best": best_quality,
            "last": self.history[-1],
            "distance_to_training": self.evaluator.distance_to_training(best, self.folder / "neighbors.png"),
            "history": self.history,
        }
        canvas.write_png(self.folder / "canvas.png", canvas.draw_canvas(best, self.recipe.seed))
        atomic_write(self.folder / MODEL, model)
        metadata = {"origin": json.dumps({"recipe_sha256": self.recipe.sha256})}
        atomic_write(self.folder / "last.safetensors", save(tensors(self._snapshot()), metadata))
        atomic_write(self.folder / "scores.json", json.dumps(scores, indent=1) + "\n")
        atomic_write(self.folder / "weights.safetensors", save(self.best, metadata))
        kid = f"KID {best_quality['kid']:.3f}, of real images {self.evaluator.floor.kid:.3f}"
        print(f"{self.recipe.entry}: best at step {self.best_step}: {kid}", file=sys.stderr)


def _is_better(quality: Mapping[str, Any], earlier: Mapping[str, Any], by: Chooser) -> bool:
    """Whether a measurement is better than an earlier one: strictly, so that of equals the earliest is kept."""
    return bool(quality["kid"] < earlier["kid"] if by == "kid" else quality["gan_train"] > earlier["gan_train"])


def _write_table(file: Path, header: list[str], rows: list[list[Any]]) -> None:
    content = io.StringIO()
    csv.writer(content).writerows([header, *rows])
    atomic_write(file, content.getvalue())
