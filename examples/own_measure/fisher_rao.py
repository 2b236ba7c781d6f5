"""The squared Fisher-Rao norm of a model, as a measure of scalecurv."""

from dataclasses import dataclass

import scalecurv as sc


@dataclass(frozen=True)
class FisherRao(sc.Measure):
    """theta' G theta, where G is the Gauss-Newton matrix: the Fisher information under cross-entropy.

    It stays the same when a ReLU neuron's incoming weights and bias are multiplied by a positive number and its
    outgoing weights are divided by it. For a ReLU network of L layers without biases it is L^2 times the mean of f'Mf,
    where f are the outputs and M is the second derivative of the loss in them.
    (Liang, Poggio, Rakhlin and Stokes 2019, arXiv 1711.01530)
    """

    name = "fisher_rao"
    version = 1
    described = (sc.Quantity("fisher_rao_squared", "theta' G theta, the squared Fisher-Rao norm", unit="loss"),)

    def compute(self, evaluation: sc.Evaluation) -> sc.Findings:
        theta = evaluation.double.theta  # (P,), in float64
        products = theta * evaluation.gauss_newton.matmat(theta[:, None])[:, 0]
        method = "one Gauss-Newton product"
        layers = {
            ("fisher_rao_squared", layer): sc.Estimate.exact(float(products[rows].sum()), method, num_matvecs=1)
            for layer, rows in evaluation.problem.space.layers.items()
        }
        whole = sc.Estimate.exact(float(products.sum()), method, num_matvecs=1)
        return sc.Findings({"fisher_rao_squared": whole}, parts=layers)
