"""Settings of torch under which the same training gives the same bytes."""

import torch


def compute_deterministically(threads: int) -> None:
    """Use `threads` threads, and algorithms that give the same result each time."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Else torch fills memory before it is written, a tenth of a step's time, to show reads of it that come too early.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
