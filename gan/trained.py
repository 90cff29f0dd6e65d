"""Load a trained generator."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from gan.networks import Generator
from gan.snapshot import restored
from zoo.models.weights import WeightsError


def load_generator(run: Path, pixels: int, width: int) -> Generator:
    """The generator in the folder `run`, on the CPU. Raises `WeightsError` where its weights cannot be read."""
    weights = run / "weights.safetensors"
    try:
        return restored(load_file(weights), pixels, width)
    except (OSError, SafetensorError, RuntimeError) as error:
        message = str(error).partition("\n")[0]
        raise WeightsError(f"{weights} cannot be read ({message}); run `make zoo` again") from None
