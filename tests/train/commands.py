"""Entries that are trained in seconds, and what trains them."""

import contextlib
import io
import os
import subprocess
import sys

from train import fit
from zoo.kinds.classifier import Classifier
from zoo.models import pretrained
from zoo.study import ROOT, Folders

ENTRIES = {
    "plain": Classifier(about="x"),
    "staged": Classifier(
        about="x", sampling="balanced", epochs=25, draws=[(9000, 2), (5000, 2)], loss="weighted_cross_entropy"
    ),
    "pretrained": Classifier(about="x", weights="pretrained", normalise="weights"),
    "frozen": Classifier(about="x", weights="pretrained", trainable_tensors=2),
    "child": Classifier(about="x", parent="pretrained", epochs=5),
    "same": Classifier(about="x", parent="pretrained", epochs=0),
    "modern": Classifier(
        about="x",
        weights="pretrained",
        epochs=25,
        augment="standard",
        optimizer="adamw",
        weight_decay=0.05,
        schedule="one_cycle",
        learning_rate=0.003,
        ema=0.9,
        drop=0.2,
        keep="last",
        logit_adjustment=0.5,
    ),
    "views": Classifier(about="x", parent="modern", epochs=0, views=8),
    "duplicates": Classifier(about="x", duplicates=True, fill_up=[(4000, 2)], epochs=3),
}


def start(folders: Folders, *entries: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "train", *entries, "--study", folders.name],
        cwd=folders.root,
        env=os.environ | {"PYTHONPATH": str(ROOT), "LESION_ZOO_ROOT": str(folders.root), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )


def prepare_pretrained(folders: Folders) -> None:
    """What `make zoo` does before it trains."""
    pretrained.make(folders, folders.read())


def train(folders: Folders, *entries: str) -> str:
    """Train in this process, since starting another one takes most of the time; returns what was shown."""
    with contextlib.redirect_stderr(io.StringIO()) as shown:
        for name in entries:
            fit.fit(folders, name)
    return shown.getvalue()


def weights(folders: Folders, entry: str) -> bytes:
    return (folders.run(entry) / "weights.safetensors").read_bytes()
