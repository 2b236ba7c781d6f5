"""A store with what is read from it: numbers, arrays, curves, pictures, and tables of other libraries."""

from collections.abc import Iterable
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from scalecurv.errors import Misuse
from scalecurv.results.choice import chosen_fingerprint
from scalecurv.results.density import SpectralRule
from scalecurv.results.factors import stored_array
from scalecurv.results.pictures import Pictures
from scalecurv.results.spectra import spectral_facts, spectral_rule
from scalecurv.results.spectral_sums import effective_dimension, log_determinant
from scalecurv.results.tables import StoredTables
from scalecurv.statistics.estimate import Estimate

if TYPE_CHECKING:
    import xarray


class Store(StoredTables):
    """The content of a directory of results at the time it was opened. Reading loads neither torch nor ray.

    Example:
        >>> import tempfile
        >>> store = Store(tempfile.mkdtemp())  # a directory that `scalecurv analyze` writes to; this one is empty
        >>> len(store.results()), store.broken
        (0, {})
    """

    def spectrum(
        self,
        fingerprint: str | None = None,
        seed: int | None = None,
        *,
        step: int | None = None,
        run: str | None = None,
        task_id: str | None = None,
        dtype: str | None = None,
    ) -> SpectralRule:
        """Return the spectral density of a checkpoint as Gauss rules, of one `seed` or all merged.

        The checkpoint is that of `step`, and of `run` where several runs have that step: a run is given by its path or
        by the name of its folder. `fingerprint`, a column of `results`, takes the place of both. Raises Misuse where
        nothing is stored, or several fit; the message lists them. `task_id` and `dtype` choose among several.
        """
        chosen = chosen_fingerprint(self._results, fingerprint, step, run)
        return spectral_rule(self._tables["arrays"], chosen, seed, task_id, dtype)

    def effective_dimension(
        self,
        fingerprint: str | None = None,
        alpha: float | None = None,
        seed: int | None = None,
        *,
        step: int | None = None,
        run: str | None = None,
        task_id: str | None = None,
        dtype: str | None = None,
    ) -> Estimate:
        """Return sum lambda / (lambda + alpha) over the eigenvalues of H at a checkpoint, from the rules of `spectrum`.

        `alpha` must be given, in the units of H. A stored lambda_min bounds the spectrum from below. See
        `scalecurv.effective_dimension`; chooses the checkpoint and raises as `spectrum`.
        """
        chosen = chosen_fingerprint(self._results, fingerprint, step, run)
        rule, facts = spectral_facts(self._tables, chosen, seed, task_id, dtype)
        return effective_dimension(rule, _given(alpha), **vars(facts))

    def log_determinant(
        self,
        fingerprint: str | None = None,
        alpha: float | None = None,
        seed: int | None = None,
        *,
        step: int | None = None,
        run: str | None = None,
        task_id: str | None = None,
        dtype: str | None = None,
    ) -> Estimate:
        """Return log det(I + H / alpha) at a checkpoint, as `effective_dimension`; see `scalecurv.log_determinant`."""
        chosen = chosen_fingerprint(self._results, fingerprint, step, run)
        rule, facts = spectral_facts(self._tables, chosen, seed, task_id, dtype)
        return log_determinant(rule, _given(alpha), **vars(facts))

    def array(
        self,
        name: str,
        fingerprint: str | None = None,
        seed: int | None = None,
        *,
        step: int | None = None,
        run: str | None = None,
        measure: str | None = None,
        task_id: str | None = None,
        dtype: str | None = None,
    ) -> np.ndarray:
        """Return a stored array of a checkpoint, such as "singular_values", of shape (m,) in float64.

        The checkpoint is chosen as in `spectrum`. Of several times that a measure was computed the latest version
        counts, then the longest array. Raises Misuse where there is no such array: the message lists those that there
        are, and the option of `scalecurv analyze` that stores this one. It raises Misuse too where several measures,
        seeds, tasks or dtypes have it, and none is chosen.

        Example:
            >>> import tempfile, scalecurv
            >>> store = scalecurv.open_store(tempfile.mkdtemp())  # give the directory of a store; this one is empty
            >>> try:
            ...     store.array("singular_values", "0f3a")
            ... except scalecurv.Misuse as error:
            ...     print(str(error).partition("; ")[0])
            no array singular_values of checkpoint 0f3a
        """
        chosen = chosen_fingerprint(self._results, fingerprint, step, run)
        return stored_array(self._tables["arrays"], name, chosen, seed, measure, task_id, dtype)

    def to_xarray(
        self, quantities: Iterable[str] | None = None, *, where: str | None = None, by: str = "step"
    ) -> "xarray.Dataset":
        """Return quantities as variables with the dimensions `run` and `step`, and NaN where a run lacks a step.

        Each quantity comes with `_lower`, `_upper` and `_stderr`, in float64, and has the attributes `units` and
        `long_name`. `quantities` are names of columns of `results`; without them all come that some checkpoint has.
        `where` is an SQL condition on `results`. Those of task_id, dtype and seed that have several values are
        dimensions, too. The attributes of runs are coordinates of `run`; the path, the epoch and the status are
        coordinates of each checkpoint. Failed checkpoints are left out.

        With by="checkpoint" there is one dimension `checkpoint`, with every row of `results` in its order, and `run`
        and `step` are coordinates: use it where checkpoints have no step, or several of a run have the same.

        Raises Misuse for unknown quantities, for checkpoints that the dimensions do not tell apart, and without xarray.

        Example:
            >>> import tempfile, scalecurv
            >>> data = scalecurv.open_store(tempfile.mkdtemp()).to_xarray(["trace"])
            >>> data["trace_upper"].dims, data["trace_upper"].attrs["units"]
            (('run', 'step'), 'loss/theta^2')
        """
        from scalecurv.results.labelled import to_xarray

        return to_xarray(self, quantities, where, by)

    @property
    def plot(self) -> Pictures:
        """The functions of `scalecurv.plot` with this store as their source: `store.plot.trajectories("trace")`."""
        return Pictures(self)

    def _repr_html_(self) -> str:
        from scalecurv.results.face import face

        return face(self, self._facts)


def _given(alpha: float | None) -> float:
    if alpha is None:
        raise Misuse("alpha is not given; give a positive number in the units of H, as in alpha=0.01")
    return alpha


def open_store(path: str | PathLike[str]) -> Store:
    """Open a directory that `scalecurv analyze` wrote to, also while it is being written; raises Misuse.

    Example:
        >>> import tempfile
        >>> import scalecurv
        >>> store = scalecurv.open_store(tempfile.mkdtemp())  # give the directory of a store; this one is empty
        >>> store.sql("select step, trace, trace_lower, trace_upper from results order by step").shape
        (0, 4)
    """
    return Store(path)
