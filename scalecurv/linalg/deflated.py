"""Hutchinson's terms with a known subspace deflated: its part of the trace is exact, and only the rest is sampled."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from scalecurv.linalg.foreign import Operand, aslinearoperator
from scalecurv.linalg.inner import dots, project_out
from scalecurv.linalg.krylov.ritz import RitzSpace
from scalecurv.linalg.probes import probes

STREAM = "deflated"


@dataclass(frozen=True, eq=False)
class DeflatedTerms:
    """The terms of tr A and tr A^2 outside a Ritz space Q, with R = I - QQ' and fresh Gaussian z:

    tr A = tr Q'AQ + E z'RARz,    tr A^2 = |Q'AQ|_F^2 + 2 |RAQ|_F^2 + E |RARz|^2.

    |RAQ|_F = |c| because AQ = QT + r c', so that the known parts need no product beyond those that built Q. Each of
    `groups` (ranges of rows, one a layer) adds two terms: those of tr A_gg, and those of
    sum_(i in g) |A e_i|^2 = |(AQ)_g|_F^2 + E |(ARz)_g|^2. Q must be independent of the probes.
    (Gambhir, Stathopoulos, Orginos 2017; Meyer, Musco, Musco, Woodruff 2021)
    """

    space: RitzSpace
    groups: tuple[slice, ...] = ()

    def __call__(self, operator: Operand, seed: int, ids: Sequence[int]) -> np.ndarray:
        """Return one row for each probe id, shape (len(ids), 2 + 2 len(groups)).

        A row holds z'RARz and |RARz|^2, then the terms of tr A_gg by group, then those of the squared rows by group.
        """
        operator, Q = aslinearoperator(operator), self.space.basis
        Z = probes(operator.shape[0], seed, STREAM, ids, "gaussian", operator.dtype, operator.device)
        Z, _ = project_out(Z, Q)
        AZ = operator.matmat(Z)
        outside, _ = project_out(AZ, Q)
        columns = [dots(Z, outside), dots(outside, outside)]
        columns += [dots(Z[g], outside[g]) for g in self.groups]
        columns += [dots(AZ[g], AZ[g]) for g in self.groups]
        return torch.stack(columns, dim=1).cpu().numpy()

    @cached_property
    def known(self) -> np.ndarray:
        """Return the known parts, left out of the terms, one for each column of a row; shape (2 + 2 len(groups),)."""
        T, c = self.space.projected, self.space.coupling
        whole = [np.trace(T), float((T**2).sum() + 2 * (c**2).sum())]
        return np.array([*whole, *(self._trace(g) for g in self.groups), *(self._square(g) for g in self.groups)])

    def _trace(self, group: slice) -> float:
        """Return the sum over the rows of `group` of the diagonal of A - RAR = QTQ' + r c'Q' + Q c r'."""
        Q, r = self.space.basis[group], self.space.residual[group]
        twice = Q @ self._cast(self.space.projected)
        return float(dots(Q, twice).sum() + 2 * dots((Q @ self._cast(self.space.coupling))[:, None], r[:, None]).sum())

    def _square(self, group: slice) -> float:
        AQ = self.space.basis[group] @ self._cast(self.space.projected)
        AQ = AQ + self.space.residual[group, None] * self._cast(self.space.coupling)
        return float(dots(AQ, AQ).sum())

    def _cast(self, small: np.ndarray) -> Tensor:
        return torch.from_numpy(small).to(self.space.basis.device, self.space.basis.dtype)
