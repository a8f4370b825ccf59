"""Clusters: songs that are connected by pairs."""

import numpy as np


class Clusters:
    """Disjoint sets of the numbers below `count` (union-find). At first, each number is alone in its set.

    The sets do not depend on the order in which pairs are united.
    """

    def __init__(self, count: int):
        # Each number has a link to a smaller number of its set. The smallest, called the root, has a link to itself.
        self._links = np.arange(count)

    def roots(self, numbers: np.ndarray) -> np.ndarray:
        """int64 [N]: the smallest number of the set of each of `numbers` (int64 [N])."""
        links: np.ndarray = self._links[numbers]
        while not np.array_equal(further := self._links[links], links):
            links = further
        self._links[numbers] = links
        return links

    def unite(self, a: np.ndarray, b: np.ndarray) -> None:
        """Unite the sets of a[i] and b[i] for each i. `a` and `b`: int64 [pairs]."""
        while len(a):
            a, b = self.roots(a), self.roots(b)
            apart = a != b
            a, b = np.minimum(a, b)[apart], np.maximum(a, b)[apart]
            self._links[b] = a  # of several links of one root, the last one counts; the others follow in the next turn

    def pairs_apart(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The pairs (a[i], b[i]) that are not in one set yet."""
        apart = self.roots(a) != self.roots(b)
        return a[apart], b[apart]
