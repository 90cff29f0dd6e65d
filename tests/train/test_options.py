"""Options of a classifier, each against a hand-made case."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from lesions.labels import CLASSES
from train.best import BestEpoch
from train.fit import shares_of_parent
from train.loss import ClassificationLoss, NotDrawnError
from train.module import ClassifierModule
from train.score import shares_seen
from zoo.kinds.classifier import ClassifierRecipe
from zoo.models import network


def recipe(**options: Any) -> ClassifierRecipe:
    settled = {
        "entry": "x", "architecture": "test_efficientnet", "pixels": 32, "seed": 0, "threads": 1, "store_sha256": "",
        "split_sha256": "", "start": "random", "parent_sha256": None, "batch": 4, "learning_rate": 0.01,
        "loss": "cross_entropy", "sampling": "natural", "draws": [10, 10], "trainable_tensors": None,
        "normalise": "data",
    }  # fmt: skip
    return ClassifierRecipe.model_validate(settled | options)


class Line(torch.nn.Module):
    """Logits that are the sums of an image's channels, times one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.weight * images.mean((2, 3))


def module(**options: Any) -> ClassifierModule:
    return ClassifierModule(Line(), recipe(**options), classes=3, mean=[0, 0, 0], std=[1, 1, 1])


def weight_of(line: torch.nn.Module) -> torch.Tensor:
    return line.get_parameter("weight")


def test_the_default_is_adam_at_a_constant_rate() -> None:
    optimizer = module().configure_optimizers()
    assert type(optimizer) is torch.optim.Adam
    assert optimizer.param_groups[0]["lr"] == 0.01


def test_adamw_decays_weights_and_neither_norms_nor_biases() -> None:
    built = ClassifierModule(
        network.build("test_efficientnet"), recipe(optimizer="adamw", weight_decay=0.1), 7, [0] * 3, [1] * 3
    )
    optimizer = built.configure_optimizers()
    assert type(optimizer) is torch.optim.AdamW
    decay = {id(tensor): group["weight_decay"] for group in optimizer.param_groups for tensor in group["params"]}
    by_name = {name: decay[id(tensor)] for name, tensor in built.network.named_parameters()}
    assert {by_name[name] for name in by_name if name.endswith("bias") or "bn" in name} == {0}
    assert by_name["conv_stem.weight"] == by_name["classifier.weight"] == 0.1
    # Without gradients, a step makes weights smaller by learning rate times decay, and leaves biases as they are.
    before = {name: tensor.detach().clone() for name, tensor in built.network.named_parameters()}
    for tensor in built.network.parameters():
        tensor.grad = torch.zeros_like(tensor)
    optimizer.step()
    after = dict(built.network.named_parameters())
    assert torch.allclose(after["conv_stem.weight"], before["conv_stem.weight"] * (1 - 0.01 * 0.1), rtol=1e-6)
    assert torch.equal(after["classifier.bias"], before["classifier.bias"])


def test_one_cycle_rises_for_a_fifth_of_all_steps_and_falls_to_nearly_nothing() -> None:
    configured = module(schedule="one_cycle", draws=[37, 41]).configure_optimizers()  # 10 + 11 steps of 4
    scheduler, optimizer = configured["lr_scheduler"]["scheduler"], configured["optimizer"]
    rates = []
    for _ in range(21):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(rates) < 21:
            scheduler.step()
    assert configured["lr_scheduler"]["interval"] == "step"
    assert max(rates) == pytest.approx(0.01, rel=0.02)
    assert rates[:4] == sorted(rates[:4])  # the peak lies at step 0.2 x 21 - 1, between the fourth and the fifth
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert rates[0] == pytest.approx(0.01 / 25)
    assert rates[-1] < 1e-6
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.999), "momentum does not cycle"


@pytest.mark.parametrize("most", [0.1, 0.999], ids=["its decay", "the warm-up"])
def test_the_moving_average_is_what_is_validated_and_kept(most: float) -> None:
    averaging = module(ema=most)
    expected = None
    for number, value in enumerate((1.0, 2.0, 4.0)):
        with torch.no_grad():
            weight_of(averaging.network).fill_(value)
        averaging.on_train_batch_end()
        decay = min(most, (1 + number) / (10 + number))
        expected = value if expected is None else decay * expected + (1 - decay) * value
    assert weight_of(averaging.kept).item() == pytest.approx(expected)
    assert averaging.kept is not averaging.network
    plain = module()
    assert plain.kept is plain.network
    assert set(plain.state_dict()) == {"network.weight"}


def test_logit_adjustment_adds_the_log_shares_of_the_classes_drawn() -> None:
    labels = np.repeat(np.arange(7), [1, 2, 3, 4, 5, 6, 79])
    loss = ClassificationLoss.from_recipe(recipe(logit_adjustment=0.5), labels)
    logits, true = torch.randn(5, 7), torch.tensor([0, 1, 2, 6, 6])
    shares = torch.tensor([0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.79])
    assert loss(logits, true).item() == pytest.approx(cross_entropy(logits + 0.5 * shares.log(), true).item())
    assert ClassificationLoss.from_recipe(recipe(), labels)(logits, true).item() == pytest.approx(
        cross_entropy(logits, true).item()
    )
    with pytest.raises(NotDrawnError, match="of vasc no image is drawn"):
        ClassificationLoss.from_recipe(recipe(logit_adjustment=1.0), labels[labels != 6])


def test_dropout_leaves_out_features_in_training_alone() -> None:
    torch.manual_seed(0)
    built = network.build("test_efficientnet", drop=0.9)
    built.train()
    head: Any = built.forward_head
    maps = torch.randn(2, int(built.num_features), 2, 2)  # type: ignore[arg-type]
    assert not torch.equal(head(maps), head(maps))
    built.eval()
    assert torch.equal(head(maps), head(maps))
    assert network.build("test_efficientnet").drop_rate == 0


@pytest.mark.parametrize(("keep", "epoch", "weight"), [("best", 1, 2.0), ("last", 2, 3.0)])
def test_the_best_epoch_is_kept_or_the_last(keep: Any, epoch: int, weight: float, tmp_path: Any) -> None:
    callback = BestEpoch({}, tmp_path / "last.ckpt", keep)
    trained = module()

    class Trainer:
        current_epoch = 0
        callback_metrics: dict[str, float] = {}  # noqa: RUF012

        def save_checkpoint(self, _: object) -> None:
            pass

    trainer = Trainer()
    for number, score in enumerate((0.1, 0.5, 0.5)):
        trainer.current_epoch, trainer.callback_metrics = number, {"valid_macro_f1": score, "valid_loss": 1.0}
        with torch.no_grad():
            weight_of(trained.network).fill_(number + 1.0)
        callback.on_train_epoch_end(trainer, trained)  # type: ignore[arg-type]
    assert callback.epoch == epoch
    assert callback.weights["weight"].item() == weight


def test_a_step_augments_by_seed_epoch_and_step(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def spy(images: torch.Tensor, how: str, generator: torch.Generator) -> torch.Tensor:
        seen.append((how, generator.initial_seed()))
        return images

    monkeypatch.setattr("train.module.augment", spy)
    batch = (torch.zeros(2, 4, 4, 3, dtype=torch.uint8), torch.tensor([0, 1]))
    for seed, step in ((0, 0), (0, 0), (0, 1), (1, 0)):
        augmenting = module(augment="standard", seed=seed)
        augmenting.log = lambda *_, **__: None  # type: ignore[method-assign]
        augmenting.training_step(batch, step)
    assert {how for how, _ in seen} == {"standard"}
    seeds = [seed for _, seed in seen]
    assert seeds[0] == seeds[1]
    assert len(set(seeds)) == 3
    plain = module()
    plain.log = lambda *_, **__: None  # type: ignore[method-assign]
    plain.training_step(batch, 0)
    assert len(seen) == 4


class Drawn:
    """Data whose every epoch draws the same labels."""

    def positions_of_epoch(self, _: int) -> np.ndarray[Any, Any]:
        return np.repeat(np.arange(7), [1, 2, 3, 4, 5, 6, 79])

    positions = positions_of_epoch

    def labels_of(self, positions: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return positions


def test_what_logit_adjustment_leaves_of_the_classes_shares() -> None:
    shares = np.array([0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.79])
    plain, half, whole = (
        shares_seen(recipe(logit_adjustment=strength), Drawn(), ClassificationLoss(), 0)  # type: ignore[arg-type]
        for strength in (0.0, 0.5, 1.0)
    )
    assert plain == pytest.approx(shares)
    assert half == pytest.approx(np.sqrt(shares) / np.sqrt(shares).sum())
    assert whole == pytest.approx(np.full(7, 1 / 7))


def test_the_classes_shares_that_a_parent_saw() -> None:
    seen = dict(zip(CLASSES, [0.1, 0.2, 0.3, 0.1, 0.1, 0.1, 0.1], strict=True))
    corrected = {"calibration": {"prior_corrected": {"seen": seen}}}
    assert shares_of_parent(corrected, Drawn()) == pytest.approx(list(seen.values()))  # type: ignore[arg-type]
    natural = shares_of_parent({"calibration": {}}, Drawn())  # type: ignore[arg-type]
    assert natural == pytest.approx([0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.79])
