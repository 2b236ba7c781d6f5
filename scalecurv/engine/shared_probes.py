"""One checkpoint's probes spread over several workers: blocks go out, rows come home, in the order of the probes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from scalecurv.measures.evaluation import Make, RunTerms, Terms, run_here
from scalecurv.problem.problem import Problem


class Crew:
    """The lead, in whose process this is, and helpers that hold the same task.

    A row depends on its probe, on the block it is computed in and on the threads, which all share: who computes it
    makes no difference, bit for bit. What a helper that died owed is computed here.
    """

    def __init__(self, ray: Any, helpers: Sequence[Any]):
        self._ray = ray
        self._helpers = list(helpers)

    def run_terms(self, unit: str, fingerprint: str) -> RunTerms:
        """The way to run terms at this checkpoint: helpers read it themselves, and check that it is the same."""

        def run(
            problem: Problem, make: Make, terms: Terms, seed: int, blocks: Sequence[range]
        ) -> list[tuple[np.ndarray, int]]:
            shares = shared_out(blocks, 1 + len(self._helpers))
            work = self._ray.put((make, terms)) if len(shares) > 1 else None
            point = (unit, fingerprint, str(problem.dtype), problem.params)
            sent = [
                (share, helper, helper.rows.remote(point, work, seed, share))
                for share, helper in zip(shares[1:], list(self._helpers), strict=False)
            ]
            done = dict(zip(shares[0], run_here(problem, make, terms, seed, shares[0]), strict=True))
            for share, helper, ref in sent:
                done |= zip(
                    share, self._fetched(ref, helper) or run_here(problem, make, terms, seed, share), strict=True
                )
            return [done[ids] for ids in blocks]

        return run

    def _fetched(self, ref: Any, helper: Any) -> list[tuple[np.ndarray, int]] | None:
        """What a helper found, None where it is gone or has no memory for it; raises what the products raised."""
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
    """The blocks in at most `members` shares of about as many probes, none of them empty."""
    shares: list[list[range]] = [[] for _ in range(members)]
    for ids in sorted(blocks, key=len, reverse=True):
        min(shares, key=lambda share: sum(map(len, share))).append(ids)
    return [share for share in shares if share]
