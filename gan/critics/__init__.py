"""Critics: networks that score how real an image looks for its class, and so teach a generator.

A new one is a module here with a `Critic`, and a line in `CRITICS`. Not copied into archives: a served generator needs
no critic.
"""

from collections.abc import Callable

from gan.critics.base import Critic
from gan.critics.projected import BACKBONE, ProjectedCritic
from gan.critics.sagan import Discriminator
from zoo.kinds.generator import GeneratorRecipe

__all__ = ["CRITICS", "FROZEN", "Critic"]
CRITICS: dict[str, Callable[[GeneratorRecipe], Critic]] = {
    "sagan": lambda recipe: Discriminator(recipe.pixels, recipe.width),
    "projected": lambda recipe: ProjectedCritic(recipe.pixels),
}
"""By the value of `critic` in a recipe."""
FROZEN = {"projected": BACKBONE}
"""The frozen network (timm's name) by whose features a critic sees images, of those that have one."""
