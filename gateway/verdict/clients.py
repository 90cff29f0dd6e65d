"""The unit of an experiment: a client, who counts once however many answers it has."""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from lesions.labels import CLASSES


class Clients(NamedTuple):
    """The labeled answers of n clients."""

    names: NDArray[np.str_]
    """[n], sorted."""
    confusions: NDArray[np.float64]
    """[n, 7, 7]: shares of a client's answers, which add up to 1; rows are the true class, columns the predicted."""

    @classmethod
    def of(cls, clients: NDArray[np.str_], truth: NDArray[np.int64], predicted: NDArray[np.int64]) -> Self:
        """The clients of m labeled answers, each with its client's name and two class numbers [m]."""
        names, owners, counts = np.unique(clients, return_inverse=True, return_counts=True)
        confusions = np.zeros((len(names), len(CLASSES), len(CLASSES)))
        np.add.at(confusions, (owners, truth, predicted), 1)
        return cls(names, confusions / counts[:, None, None])

    def __len__(self) -> int:
        return len(self.names)

    @property
    def mean(self) -> NDArray[np.float64]:
        """The confusion matrix [7, 7] in which each client counts the same; it adds up to 1."""
        return np.asarray(self.confusions.mean(0))

    @property
    def of_class(self) -> NDArray[np.int64]:
        """How many clients have an answer of each true class, [7]."""
        return np.asarray((self.confusions.sum(2) > 0).sum(0))
