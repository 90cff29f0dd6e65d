"""The unit of an experiment: a client, who counts once however many answers it has."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from lesions.labels import CLASSES


class Clients(NamedTuple):
    """The labeled answers of n clients, or of n clients in a period each."""

    names: NDArray[np.str_]
    """[n]."""
    confusions: NDArray[np.float64]
    """[n, 7, 7]: shares of a client's answers, which add up to 1; rows are the true class, columns the predicted."""
    weights: NDArray[np.float64]
    """[n]: how much each counts; they add up to 1."""

    @classmethod
    def of(cls, clients: NDArray[np.str_], truth: NDArray[np.int64], predicted: NDArray[np.int64]) -> Self:
        """The clients of m labeled answers, each with its client's name and two class numbers [m]."""
        names, owners, counts = np.unique(clients, return_inverse=True, return_counts=True)
        confusions = np.zeros((len(names), len(CLASSES), len(CLASSES)))
        np.add.at(confusions, (owners, truth, predicted), 1)
        return cls(names, confusions / counts[:, None, None], np.full(len(names), 1 / max(1, len(names))))

    @classmethod
    def mixed(cls, parts: Sequence["Clients"], shares: Sequence[float] | NDArray[np.float64]) -> Self:
        """Parts that count by their `shares`, which add up to 1."""
        weights = [share * part.weights for share, part in zip(shares, parts, strict=True)]
        names, confusions = ([part[field] for part in parts] for field in (0, 1))
        return cls(np.concatenate(names), np.concatenate(confusions), np.concatenate(weights))

    def __len__(self) -> int:
        return len(self.names)

    @property
    def mean(self) -> NDArray[np.float64]:
        """The confusion matrix [7, 7], by the weights; it adds up to 1."""
        return np.tensordot(self.weights, self.confusions, 1)

    @property
    def effective(self) -> float:
        """How many clients that count the same make a mean as certain as this one: n where they do."""
        return float(1 / (self.weights**2).sum())

    @property
    def of_class(self) -> NDArray[np.int64]:
        """How many clients have an answer of each true class, [7]."""
        return np.asarray((self.confusions.sum(2) > 0).sum(0))
