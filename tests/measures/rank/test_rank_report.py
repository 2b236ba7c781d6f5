"""The account of one rank, to the letter, from estimates made by hand."""

from dataclasses import replace

from scalecurv.measures.rank.report import RankReport
from scalecurv.statistics.estimate import NAN, Estimate, Status

RANK = Estimate(46, NAN, 46, 46, 0.9995, 0, 0, "modulo 1 prime(s); at most rows 60, neurons 48", Status.CERTIFIED)
SHOWN = Estimate(47, NAN, 47, 48, 1.0, 0, 0, "best of data 46, Gaussian 47", Status.LOWER_BOUND)
GENERIC = replace(RANK, value=47, lower=47, upper=47, confidence=1.0, method="random residues", status=Status.CONVERGED)
PROFILE = {name: replace(GENERIC, value=n, lower=n, upper=n) for name, n in [("rank_1e2", 8), ("rank_1e3", 12)]}
ENTRIES = {"account_dead": 1, "account_rescaling": 5, "account_data_limited": 0, "account_unexplained": 2}
FOUND = {
    "rank": RANK,
    **PROFILE,
    "rank_1e6": replace(GENERIC, value=45, lower=45, upper=45),
    "stable_rank": replace(GENERIC, value=5.25, lower=5.25, upper=5.25),
    "jacobian_participation_ratio": replace(GENERIC, value=11.5, lower=11.5, upper=11.5),
    "rank_generic": GENERIC,
    "functional_dimension_lower": SHOWN,
    "rank_ceiling": Estimate.exact(49, "P - hidden neurons"),
    "kink_margin": Estimate.exact(0.005, "forward pass"),
    **{name: Estimate.exact(value, "") for name, value in ENTRIES.items()},
}
PARTS = """
Where the parameters go                      54
  rank                                       46
  dead: touch no live unit or nonzero input   1
  rescaling: one a live hidden neuron         5
  data: too few or too alike to show          0
  unexplained: below the structural bound     2
"""


def test_to_the_letter() -> None:
    assert f"{RankReport(FOUND, (60, 54))}\n" == (
        """\
J, samples x outputs by parameters                60 x 54
rank of J                                    46 (99.95 %)  certified, modulo 1 prime(s); at most rows 60, neurons 48
singular values > 1e-2 of the largest                   8
singular values > 1e-3 of the largest                  12
singular values > 1e-6 of the largest                  45
stable rank, |J|_F^2 / sigma_1^2                     5.25
participation ratio of J'J                           11.5
rank at almost all parameters of the region            47
functional dimension, any inputs             >= 47, <= 48  best of data 46, Gaussian 47
ceiling of the architecture, P - hidden                49
margin of the activation pattern                    0.005
"""
        + PARTS
    )


def test_what_was_not_asked_has_no_line() -> None:
    less = {name: e for name, e in FOUND.items() if name != "functional_dimension_lower"}
    lines = str(RankReport(less, (60, 54))).splitlines()
    assert not [line for line in lines if "any inputs" in line]
    assert len(lines) == len(str(RankReport(FOUND, (60, 54))).splitlines()) - 1


def test_without_every_entry_there_is_no_account() -> None:
    """Parts that do not add up are not printed; why a line has no number is."""
    for missing in ENTRIES:
        for known in [True, False]:
            none = Estimate.not_applicable("not an MLP")
            found = {name: e for name, e in FOUND.items() if name != missing}
            text = str(RankReport({**found, "rank_ceiling": none, **({missing: none} if known else {})}, (60, 54)))
            assert "Where the parameters go" not in text
            assert text.endswith("0.005")
            assert text.splitlines()[9].split("hidden")[1].split("  ")[-2:] == ["not applicable", "not an MLP"]
