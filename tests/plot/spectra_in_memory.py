"""A store of spectra without files: the rules that a picture of densities asks for, by their checkpoints."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from scalecurv.results.density import EVERY, SpectralRule


class Spectra:
    """An object with the methods of a Store that a picture of spectra needs, from rules by step."""

    path = "spectra"

    def __init__(self, rules: Mapping[int, SpectralRule], ends: Mapping[int, tuple[float, float]] | None = None):
        self.rules = {f"content {step}": rule for step, rule in rules.items()}
        rows = [{"run": "/runs/a", "step": step, "fingerprint": f"content {step}", "num_params": 40} for step in rules]
        self.rows = pd.DataFrame(rows).assign(task_id="t", dtype="float64", seed=0, status="ok")
        for name, side in (("lambda_min", 0), ("lambda_max", 1)):
            if ends is not None:
                middle = [ends[step][side] for step in rules]
                self.rows[name] = middle
                self.rows[f"{name}_lower"] = [value - 0.25 for value in middle]
                self.rows[f"{name}_upper"] = [value + 0.25 for value in middle]

    def results(self, all_columns: bool = False) -> pd.DataFrame:
        return self.rows.copy()

    def table(self, name: str) -> pd.DataFrame:
        keys = self.rows[["fingerprint", "task_id", "dtype", "seed"]]
        return keys.assign(measure="spectrum", name="ritz_nodes") if name == "arrays" else pd.DataFrame()

    def spectrum(self, fingerprint: str, seed: int | None = None, *, task_id: str, dtype: str) -> SpectralRule:
        return self.rules[fingerprint]


def exact_rule(eigenvalues: np.ndarray) -> SpectralRule:
    """Return the rule whose nodes are all eigenvalues."""
    count = len(eigenvalues)
    return SpectralRule(eigenvalues, np.full(count, 1 / count), np.full(count, EVERY))


def sampled_rule(eigenvalues: np.ndarray, num_starts: int = 4) -> SpectralRule:
    """Return rules that hold every eigenvalue, with weights that differ between the starts as those of Lanczos do."""
    rng = np.random.default_rng(0)
    count = len(eigenvalues)
    weights = rng.dirichlet(np.ones(count), num_starts) / num_starts
    return SpectralRule(np.tile(eigenvalues, num_starts), weights.ravel(), np.repeat(np.arange(num_starts), count))
