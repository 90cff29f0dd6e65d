"""Explanations by the classifier's handler, alone and beside predictions."""

import base64
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from handlers.lesion_classifier import LesionClassifier
from lesions.images import center_square, decode
from lesions.labels import CLASSES, NOTICE
from tests.handlers.mock_context import (
    GOOD,
    PICTURE,
    Request,
    ask,
    body,
    explained,
    form,
)
from tests.images import file_of
from zoo.models.explanation import overlay as draw
from zoo.study import ROOT


def test_an_explanation_is_laid_on_the_square_of_the_picture(handler: LesionClassifier, folder: Path) -> None:
    [(_, plain)] = ask(handler, folder, form(PICTURE))
    [(code, answer)] = ask(handler, folder, explained(PICTURE))
    assert code == 200
    assert list(answer) == ["label", "class", "overlay", "blank", "entry", "study", "notice"]
    assert answer["label"] == answer["class"] == plain["label"]
    assert answer["notice"] == NOTICE
    overlay = Image.open(io.BytesIO(base64.b64decode(answer["overlay"])))
    assert (overlay.format, overlay.mode, overlay.size) == ("PNG", "RGB", (40, 40))
    picture = center_square(decode(GOOD[0]), 40)
    assert not answer["blank"]
    assert not np.array_equal(np.asarray(overlay), picture)
    large = file_of(Image.effect_noise((900, 700), 60).convert("RGB"), "JPEG")
    [(_, answer)] = ask(handler, folder, explained(("mole", bytearray(large), "image/jpeg")))
    assert Image.open(io.BytesIO(base64.b64decode(answer["overlay"]))).size == (512, 512)


@pytest.mark.parametrize(
    "request_",
    [
        explained(PICTURE, ("class", bytearray(b"vasc"), "")),
        (
            {"body": {"image": base64.b64encode(GOOD[0]).decode(), "class": "vasc"}},
            {"Content-Type": "application/json", "explain": "True"},
        ),
    ],
)
def test_the_class_that_is_explained_can_be_named(handler: LesionClassifier, folder: Path, request_: Request) -> None:
    (_, plain), (code, answer) = ask(handler, folder, explained(PICTURE), request_)
    assert (code, answer["class"]) == (200, "vasc")
    picture = decode(GOOD[0])
    [heat] = handler.service.predictor.heat_maps(center_square(picture, 64)[None], [CLASSES.index("vasc")])
    shown = Image.open(io.BytesIO(base64.b64decode(answer["overlay"])))
    assert np.array_equal(np.asarray(shown), np.asarray(draw(center_square(picture, 40), heat)))
    assert answer["overlay"] != plain["overlay"]
    assert answer["label"] == plain["label"]


def test_explanations_and_predictions_that_arrive_together_are_right(handler: LesionClassifier, folder: Path) -> None:
    separately = [
        ask(handler, folder, request)[0]
        for request in (explained(PICTURE), form(PICTURE), explained(PICTURE, ("class", bytearray(b"df"), "")))
    ]
    for order in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):  # BaseHandler would go by the first
        requests = [
            (explained(PICTURE), form(PICTURE), explained(PICTURE, ("class", bytearray(b"df"), "")))[k] for k in order
        ]
        together = ask(handler, folder, requests[0], body(bytearray(b"hello")), *requests[1:])
        assert together.pop(1)[0] == 400
        for k, (code, answer) in zip(order, together, strict=True):
            expected = separately[k][1]
            assert code == 200
            assert list(answer) == list(expected)
            if "overlay" in expected:
                assert (answer["label"], answer["class"]) == (expected["label"], expected["class"])
                shown, right = (
                    np.asarray(Image.open(io.BytesIO(base64.b64decode(one["overlay"])))).astype(int)
                    for one in (answer, expected)
                )
                assert np.abs(shown - right).max() <= 1
            else:
                assert answer["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-6)


def test_a_network_without_maps_predicts_all_the_same(
    handler: LesionClassifier, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler.service.predictor, "explains", False)
    (code, answer), (fine, other) = ask(handler, folder, explained(PICTURE), form(PICTURE))
    assert (code, fine) == (501, 200)
    assert "baseline cannot explain" in answer["message"]
    assert "probabilities" in other


def test_an_explanation_of_nothing_says_that_it_is_blank(
    handler: LesionClassifier, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = handler.service.predictor
    maps = predictor.maps
    monkeypatch.setattr(predictor, "maps", lambda images: maps(images) * 0)
    [(code, answer)] = ask(handler, folder, explained(PICTURE))
    assert (code, answer["blank"]) == (200, True)
    overlay = Image.open(io.BytesIO(base64.b64decode(answer["overlay"])))
    assert np.array_equal(np.asarray(overlay), center_square(decode(GOOD[0]), 40)), "no color claims anything"


def test_a_worker_imports_no_torch_and_nothing_for_explanations_that_nobody_asks_for() -> None:
    code = (
        "import sys, handlers.lesion_classifier, handlers.lesion_generator; "
        "sys.exit(bool({'torch', 'timm', 'captum', 'matplotlib', 'scipy', 'onnx'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
