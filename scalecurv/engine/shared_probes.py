"""The probes of one checkpoint, shared by several workers: blocks go out, rows return in the order of the probes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from scalecurv.linalg.counting import Hear
from scalecurv.measures.evaluation import Make, RunTerms, Terms, run_here
from scalecurv.problem.problem import Problem


class SharedProbes:
    """The workers that share the probes of a checkpoint: the lead, in whose process this object is, and its helpers.

    A row depends only on its probe, on the block that it is computed in and on the number of threads, which is the same
    for all: the rows are bitwise the same whichever worker computes them. The lead computes what a helper that died did
    not return.
    """

    def __init__(self, ray: Any, helpers: Sequence[Any]):
        self._ray = ray
        self._helpers = list(helpers)

    def run_terms(self, path: str, fingerprint: str, hear: Hear | None = None) -> RunTerms:
        """Return the function that runs terms at this checkpoint; helpers read its file and check the fingerprint.

        `hear` is told of products: those of the lead as they are taken, those of a helper when its rows come.
        """

        def run(
            problem: Problem, make: Make, terms: Terms, seed: int, blocks: Sequence[range]
        ) -> list[tuple[np.ndarray, int]]:
            shares = shared_out(blocks, 1 + len(self._helpers))
            work = self._ray.put((make, terms)) if len(shares) > 1 else None
            point = (path, fingerprint, str(problem.dtype), problem.params)
            sent = [
                (share, helper, helper.rows.remote(point, work, seed, share))
                for share, helper in zip(shares[1:], list(self._helpers), strict=False)
            ]
            done = dict(zip(shares[0], run_here(problem, make, terms, seed, shares[0], hear), strict=True))
            for share, helper, ref in sent:
                rows = self._fetched(ref, helper)
                if rows is None:
                    rows = run_here(problem, make, terms, seed, share, hear)
                elif hear is not None:
                    hear(sum(num_matvecs for _, num_matvecs in rows))
                done |= zip(share, rows, strict=True)
            return [done[ids] for ids in blocks]

        return run

    def _fetched(self, ref: Any, helper: Any) -> list[tuple[np.ndarray, int]] | None:
        """Return the rows of a helper, None where it died or has no memory; raise what its products raised."""
        exceptions = self._ray.exceptions
        try:
            return list(self._ray.get(ref))
        except exceptions.RayTaskError as error:
            if not isinstance(error.cause, MemoryError):
                raise error.cause from error
        except exceptions.RayError:  # killed, its node or what it sent lost
            pass
        self._helpers.remove(helper)
        return None


def shared_out(blocks: Sequence[range], members: int) -> list[list[range]]:
    """Return the blocks in at most `members` shares of about as many probes each, none of them empty.

    Example:
        >>> shared_out([range(4), range(4, 8), range(8, 16)], 2)
        [[range(8, 16)], [range(0, 4), range(4, 8)]]
    """
    shares: list[list[range]] = [[] for _ in range(members)]
    for ids in sorted(blocks, key=len, reverse=True):
        min(shares, key=lambda share: sum(map(len, share))).append(ids)
    return [share for share in shares if share]
