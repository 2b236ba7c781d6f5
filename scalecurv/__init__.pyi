"""The public names of scalecurv with their types, for type checkers and editors; `__init__.py` loads them lazily."""

from scalecurv import callbacks as callbacks
from scalecurv import plot as plot
from scalecurv.errors import CheckpointError as CheckpointError
from scalecurv.errors import ClusterError as ClusterError
from scalecurv.errors import Misuse as Misuse
from scalecurv.errors import NothingFound as NothingFound
from scalecurv.errors import StoreError as StoreError
from scalecurv.linalg.operator import LinearOperator as LinearOperator
from scalecurv.measures.evaluation import Evaluation as Evaluation
from scalecurv.measures.measure import Findings as Findings
from scalecurv.measures.measure import Measure as Measure
from scalecurv.notebook.analyze import analyze as analyze
from scalecurv.notebook.curvatures import principal_curvatures as principal_curvatures
from scalecurv.notebook.curvatures import ricci_curvature as ricci_curvature
from scalecurv.notebook.curvatures import scalar_curvature as scalar_curvature
from scalecurv.notebook.curvatures import sectional_curvature as sectional_curvature
from scalecurv.notebook.eigenpairs import eigenpairs as eigenpairs
from scalecurv.notebook.operators import gauss_newton as gauss_newton
from scalecurv.notebook.operators import gradient as gradient
from scalecurv.notebook.operators import hessian as hessian
from scalecurv.notebook.operators import jacobian as jacobian
from scalecurv.notebook.ranks import functional_rank as functional_rank
from scalecurv.notebook.ranks import rank_report as rank_report
from scalecurv.notebook.scalars import lambda_max as lambda_max
from scalecurv.notebook.scalars import lambda_min as lambda_min
from scalecurv.notebook.scalars import trace as trace
from scalecurv.notebook.scalars import trace_h2 as trace_h2
from scalecurv.notebook.spectra import density as density
from scalecurv.notebook.spectra import spectrum as spectrum
from scalecurv.problem.problem import Problem as Problem
from scalecurv.quantities import Quantity as Quantity
from scalecurv.record import Outcome as Outcome
from scalecurv.results.query import Store as Store
from scalecurv.results.query import open_store as open_store
from scalecurv.results.spectral_sums import effective_dimension as effective_dimension
from scalecurv.results.spectral_sums import log_determinant as log_determinant
from scalecurv.statistics.estimate import Estimate as Estimate
from scalecurv.statistics.estimate import Status as Status
from scalecurv.sweeps.sweep import sweep as sweep

__version__: str
__all__: list[str]
