"""The projected critic: frozen features that are timm's, random mixing that is the seed's, heads that alone train."""

import pytest
import timm
import torch
from torch.nn.utils import parametrize

from gan.critics.projected import BACKBONE, CLASS_CHANNELS, FrozenFeatures, ProjectedCritic
from gan.data import Images
from gan.trainer import GANTrainer
from lesions.labels import CLASSES
from zoo.kinds.generator import GeneratorRecipe
from zoo.models import imagenet

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def critic() -> ProjectedCritic:
    torch.manual_seed(0)
    return ProjectedCritic(32).eval()


@pytest.fixture
def recipe(tiny_recipe: GeneratorRecipe) -> GeneratorRecipe:
    return tiny_recipe.model_copy(update={"critic": "projected", "mode_seeking": 0.2})


def images(count: int) -> torch.Tensor:
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("with_gradient", [False, True])
def test_the_frozen_features_are_timms(with_gradient: bool) -> None:
    network = timm.create_model(BACKBONE, features_only=True, out_indices=(1, 2, 3, 4)).eval()
    weights = imagenet.load(BACKBONE)
    network.load_state_dict({name: weights[name] for name in network.state_dict()})
    frozen = FrozenFeatures().train()
    pictures = images(2).requires_grad_(with_gradient)
    expected, actual = network(pictures), frozen(pictures)
    assert [stage.shape[-1] for stage in actual] == [32 // stride for stride in frozen.strides]
    for ours, timms in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, timms, rtol=1e-3, atol=1e-3)
    if with_gradient:
        ours, timms = (
            torch.autograd.grad([stage.mean() for stage in stages], pictures)[0] for stages in (actual, expected)
        )
        assert torch.cosine_similarity(ours.flatten(), timms.flatten(), 0) > 0.9999
        assert ours.norm().item() == pytest.approx(timms.norm().item(), rel=1e-3)


def test_only_the_heads_train(recipe: GeneratorRecipe, batch: Images) -> None:
    trainer = GANTrainer(recipe, CPU)
    before = {name: tensor.clone() for name, tensor in trainer.critic.state_dict().items()}
    for number in range(2):
        trainer.step(number, batch)
    changed = {
        name.partition(".")[0]
        for name, tensor in trainer.critic.state_dict().items()
        if not torch.equal(tensor, before[name])
    }
    assert changed == {"heads"}
    assert all(name.startswith("heads.") == tensor.requires_grad for name, tensor in trainer.critic.named_parameters())


def test_every_convolution_of_a_head_is_normalized(critic: ProjectedCritic) -> None:
    layers = [module for module in critic.heads.modules() if isinstance(module, torch.nn.Conv2d)]
    assert layers
    assert all(parametrize.is_parametrized(layer, "weight") for layer in layers)


def test_the_mixing_is_the_seeds() -> None:
    critics = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        critics.append(ProjectedCritic(32).mixing.state_dict())
    first, again, other = critics
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_a_convolution_of_the_mixing_keeps_the_variance(critic: ProjectedCritic) -> None:
    sizes = zip(critic.backbone.channels, (16, 8, 4, 2), strict=True)
    stages = [torch.randn(64, channels, side, side) for channels, side in sizes]
    coarsest = critic.mixing(stages)[-1]
    assert coarsest.var().item() == pytest.approx(1, rel=0.2)


def test_a_class_changes_a_score_by_its_own_projection(critic: ProjectedCritic) -> None:
    with torch.no_grad():
        features = critic.features(images(3))
        scores = torch.stack([critic.scores(features, torch.full((3,), label)) for label in range(len(CLASSES))], 2)
        logits = critic.class_logits(features)
    assert logits.shape == (3, 4, len(CLASSES))
    places = [judgment.scores[0].numel() for judgment in features]
    assert scores.shape[1] == sum(places)
    for head, of_head in enumerate(torch.split(scores, places, dim=1)):
        mean, scale = of_head.mean(1), critic.state_dict()[f"heads.{head}.scale"].item()
        by_class = logits[:, head] - logits[:, head, :1]
        torch.testing.assert_close(by_class, scale * (mean - mean[:, :1]), atol=1e-4, rtol=1e-4)
    assert features[0].classes.shape[1] == CLASS_CHANNELS


def test_an_image_is_scored_alone(critic: ProjectedCritic) -> None:
    labels = torch.tensor([0, 3, 5])
    with torch.no_grad():
        together = critic(images(3), labels)
        alone = torch.cat([critic(images(3)[k : k + 1], labels[k : k + 1]) for k in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("pixels", "sides"), [(32, [4, 4, 4, 2]), (64, [4, 4, 4, 2]), (128, [4, 4, 4, 4])])
def test_every_size_ends_at_few_places(pixels: int, sides: list[int]) -> None:
    with torch.no_grad():
        features = ProjectedCritic(pixels).features(torch.zeros(1, 3, pixels, pixels))
    assert [judgment.scores.shape[-1] for judgment in features] == sides
