"""Batches of real images depend on (seed, step) alone: each image once an epoch, or each class equally often."""

import torch

from gan.data import Images, TrainingBatches
from zoo.kinds.generator import GeneratorRecipe


def part(counts: list[int]) -> Images:
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    return Images(torch.arange(len(labels), dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 4, 4, 3), labels)


def test_natural_sampling_takes_each_image_once_an_epoch(tiny_recipe: GeneratorRecipe) -> None:
    recipe = tiny_recipe.model_copy(update={"sampling": "natural", "turns": "mirror"})
    training = TrainingBatches(recipe, part([5, 1, 1, 1, 1, 1, 1]))
    seen = torch.cat([training.batch(step).images[:, 0, 0, 0] for step in range(11)]).tolist()
    for epoch in range(4):
        assert sorted(seen[11 * epoch : 11 * epoch + 11]) == list(range(11))
    assert seen[:11] != seen[11:22]
    again = TrainingBatches(recipe, part([5, 1, 1, 1, 1, 1, 1])).batch(9)
    assert torch.equal(again.images, training.batch(9).images), "it does not depend on earlier calls"


def test_balanced_sampling_takes_each_class_equally_often(tiny_recipe: GeneratorRecipe) -> None:
    training = TrainingBatches(tiny_recipe.model_copy(update={"batch": 700}), part([50, 1, 2, 3, 4, 5, 6]))
    batch = training.batch(0)
    assert torch.bincount(batch.labels, minlength=7).min() > 70
    assert torch.equal(training.part.labels[batch.images[:, 0, 0, 0].long()], batch.labels)
    assert not torch.equal(batch.labels, training.batch(1).labels)


def test_tempered_sampling_takes_classes_by_a_power_of_their_counts(tiny_recipe: GeneratorRecipe) -> None:
    recipe = tiny_recipe.model_copy(update={"batch": 7000, "sampling": 0.5})
    training = TrainingBatches(recipe, part([100, 25, 4, 4, 4, 4, 4]))
    expected = torch.tensor([10, 5, 2, 2, 2, 2, 2]) / 25
    assert training.shares is not None
    torch.testing.assert_close(training.shares.float(), expected)
    batch = training.batch(0)
    torch.testing.assert_close(torch.bincount(batch.labels, minlength=7) / 7000, expected, atol=0.03, rtol=0)
    assert torch.equal(training.part.labels[batch.images[:, 0, 0, 0].long()], batch.labels)
    assert torch.equal(batch.labels, TrainingBatches(recipe, training.part).batch(0).labels)
