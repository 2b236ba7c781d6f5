"""The findings of `rank` at one checkpoint as text: bounds, profile, and where P - rank goes."""

from collections.abc import Mapping

import pandas as pd

from scalecurv.estimate import Estimate, Status

PROFILE = {
    "rank_1e2": "singular values > 1e-2 of the largest",
    "rank_1e3": "singular values > 1e-3 of the largest",
    "rank_1e6": "singular values > 1e-6 of the largest",
    "stable_rank": "stable rank, |J|_F^2 / sigma_1^2",
    "jacobian_participation_ratio": "participation ratio of J'J",
}
CEILINGS = {
    "rank_generic": "rank at almost all parameters of the cell",
    "functional_dimension_lower": "functional dimension, any inputs",
    "rank_ceiling": "ceiling of the architecture, P - hidden",
    "kink_margin": "margin of the activation pattern",
}
ENTRIES = {
    "rank": "rank",
    "account_dead": "dead: touch no live unit or nonzero input",
    "account_rescaling": "rescaling: one a live hidden neuron",
    "account_data_limited": "data: too few or too alike to show",
    "account_unexplained": "unexplained: below the structural bound",
}


def rank_report(estimates: Mapping[str, Estimate], shape: tuple[int, int]) -> str:
    """A line a number; `shape` is that of J, (N D, P)."""
    rank = estimates["rank"]
    rows: list[tuple[str, ...]] = [("J, samples x outputs by parameters", f"{shape[0]} x {shape[1]}", "")]
    rows += [("rank of J", str(rank), f"{rank.status}, {rank.method}")]
    for names in (PROFILE, CEILINGS):
        rows += [
            (said, str(estimates[name]), _method(estimates[name])) for name, said in names.items() if name in estimates
        ]
    lines = _columns(rows)
    if all(name in estimates and estimates[name].status is Status.EXACT for name in list(ENTRIES)[1:]):
        entries = [(f"  {said}", f"{estimates[name].value:.0f}") for name, said in ENTRIES.items()]
        lines += ["", *_columns([("Where the parameters go", f"{shape[1]}"), *entries])]
    return "\n".join(lines) + "\n"


def _method(estimate: Estimate) -> str:
    return estimate.method if estimate.status in (Status.LOWER_BOUND, Status.CERTIFIED, Status.NOT_APPLICABLE) else ""


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    frame = pd.DataFrame(rows)
    text = [frame[0].str.ljust(frame[0].str.len().max()), frame[1].str.rjust(frame[1].str.len().max())]
    text += [frame[column] for column in frame.columns[2:]]
    return ["  ".join(cells).rstrip() for cells in zip(*text, strict=True)]
