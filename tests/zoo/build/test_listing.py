"""The table of entries says in few words what differs."""

import pytest

from zoo.build import listing
from zoo.entry import catalog


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("baseline", "nothing"),
        ("transfer_frozen_2", "pretrained, only the last 2 tensors train"),
        ("gan_3", "goes on from gan_2, weighted cross entropy"),
        ("sagan", "nothing"),
    ],
)
def test_an_entry_in_few_words(name: str, output: str) -> None:
    assert listing.describe_options(catalog()[name]) == output


def test_every_entry_can_be_described() -> None:
    messages = {name: listing.describe_options(entry) for name, entry in catalog().items()}
    assert "diffaugment by translation" in messages["projected"]
    assert not [words for words in messages.values() if "[" in words or "None" in words], "no Python among the words"
    assert len(set(messages.values())) == len(messages) - 1, "but for the two baselines, each differs from every other"
