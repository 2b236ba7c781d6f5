"""The density of a stored checkpoint: its own rules, those of all seeds pooled, and one line where there are none."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scalecurv.errors import Misuse
from scalecurv.record import Outcome
from scalecurv.results.density import SpectralRule, density
from scalecurv.results.query import Store, open_store
from tests.commands import analyze
from tests.outcomes import outcome, record, store_of
from tests.runs import write_run


def stored(key: str, nodes: list[float], version: int = 1, starts: int = 1, **fields: Any) -> Outcome:
    """One run of the measure at /a.pt: the same `nodes` from every start, all of one weight."""
    m = len(nodes)
    arrays = {
        "ritz_nodes": nodes * starts,
        "ritz_weights": [1 / (m * starts)] * (m * starts),
        "ritz_starts": np.repeat(np.arange(starts), m),
        "ritz_values": [99.0],  # of that name from another measure, and of no concern here
    }
    found = replace(record(key, {}, **arrays), measure="spectrum", version=version)
    return outcome("/a.pt", found, **{"fingerprint": "f1", **fields})


@pytest.fixture(scope="module", name="analysed")
def _analysed(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two checkpoints with two seeds each, through the command line."""
    folder = tmp_path_factory.mktemp("spectra")
    run = write_run(folder / "run", range(2))
    for seed in (0, 3):
        options = ("--seed", seed, "--max-matvecs", 60, "--dtype", "float64", "--route", "generic")
        done = analyze(run, folder / "store", "--measure", "spectrum,extremes", *options)
        assert done.exit_code == 0, done.output
    return open_store(folder / "store")


def test_a_seed_is_what_its_run_stored(analysed: Store) -> None:
    arrays = analysed.table("arrays").query("measure == 'spectrum'")
    assert len(arrays) == 2 * 2 * 3
    for (fingerprint, seed), rows in arrays.groupby(["fingerprint", "seed"]):
        rule = analysed.spectrum(fingerprint, seed)
        parts = rows.set_index("name")["values"]
        for part in ("nodes", "weights", "starts"):
            np.testing.assert_allclose(getattr(rule, part), parts[f"ritz_{part}"], rtol=1e-12)
        assert (rule.num_starts, rule.num_nodes) == (4, 15)


def test_seeds_are_pooled(analysed: Store) -> None:
    for fingerprint in analysed.table("checkpoints")["fingerprint"].unique():
        one, other = (analysed.spectrum(fingerprint, seed) for seed in (0, 3))
        rule = analysed.spectrum(fingerprint)
        assert rule.num_starts == 8
        assert not np.allclose(one.nodes, other.nodes)
        np.testing.assert_array_equal(rule.nodes, np.concatenate([one.nodes, other.nodes]))
        both = [density(r, 0.5, np.linspace(-1, 2, 7)).values for r in (one, other)]
        np.testing.assert_allclose(density(rule, 0.5, np.linspace(-1, 2, 7)).values, np.mean(both, axis=0), rtol=1e-12)


def test_every_run_meets_the_largest_eigenvalue_of_its_own_checkpoint(analysed: Store) -> None:
    largest = analysed.results().groupby("fingerprint")["lambda_max"].first()
    assert largest.nunique() == 2
    for fingerprint, value in largest.items():
        for nodes, _ in analysed.spectrum(fingerprint).by_start():
            assert nodes.max() == pytest.approx(value, rel=1e-3)


@pytest.mark.parametrize(
    ("runs", "nodes"),
    [
        ([stored("k1", [1, 2, 3]), stored("k2", [4, 5], version=2, created=50.0)], [4, 5]),  # a later version
        ([stored("k1", [1, 2, 3]), stored("k2", [4, 5], created=200.0)], [1, 2, 3]),  # more products
        ([stored("k1", [1, 2], starts=2), stored("k2", [4, 5, 6], created=200.0)], [1, 2, 1, 2]),
        ([stored("k2", [1, 2]), stored("k1", [4, 5], created=200.0)], [4, 5]),  # the newest of equals
        ([stored("k1", [1, 2], seed=7), stored("k2", [4, 5, 6], version=2)], [4, 5, 6, 1, 2]),  # of each seed
    ],
)
def test_of_each_seed_one_run(tmp_path: Path, runs: list[Outcome], nodes: list[float]) -> None:
    for i, order in enumerate((runs, runs[::-1])):
        rule = open_store(store_of(tmp_path / str(i), *order)).spectrum("f1")
        assert rule.nodes.tolist() == nodes


def test_seeds_with_other_numbers_of_starts_weigh_by_start(tmp_path: Path) -> None:
    store = store_of(tmp_path, stored("k1", [1, 2], seed=1, starts=3), stored("k2", [7], seed=0))
    rule = open_store(store).spectrum("f1")
    assert rule.nodes.tolist() == [7, 1, 2, 1, 2, 1, 2]
    assert rule.weights == pytest.approx([1 / 4, *[1 / 8] * 6])
    assert rule.starts.tolist() == [0, 1, 1, 2, 2, 3, 3]


def test_all_eigenvalues_come_before_any_estimate(tmp_path: Path) -> None:
    """Of one seed, and of several: fewer nodes, and more."""
    whole = stored("k2", [4.0, 5])
    exact = {**whole.records[0].arrays, "ritz_starts": np.array([-1.0, -1])}
    whole = replace(whole, records=(replace(whole.records[0], arrays=exact),))
    for i, seed in enumerate((0, 7)):
        rule = open_store(store_of(tmp_path / str(i), stored("k1", [1, 2, 3], seed=seed), whole)).spectrum("f1")
        assert (rule.nodes.tolist(), rule.exact) == ([4, 5], True)


@pytest.fixture(name="several")
def _several(tmp_path: Path) -> Store:
    other = replace(record("k5", {}, ritz_values=[5.0]), measure="extremes")
    return open_store(
        store_of(
            tmp_path,
            stored("k1", [1.0]),
            stored("k2", [2.0], task_id="t2"),
            stored("k3", [3.0], dtype="float64", seed=1),
            stored("k4", [4.0], fingerprint="f2"),
            outcome("/b.pt", other, fingerprint="f3"),
        )
    )


def test_tasks_and_dtypes_are_never_pooled(several: Store) -> None:
    def nodes(rule: SpectralRule) -> list[float]:
        return rule.nodes.tolist()

    assert nodes(several.spectrum("f2")) == [4]
    assert nodes(several.spectrum("f1", task_id="t2")) == [2]
    assert nodes(several.spectrum("f1", dtype="float64")) == [3]
    assert nodes(several.spectrum("f1", 1)) == [3]
    assert nodes(several.spectrum("f1", 0, task_id="t1")) == [1]


def test_what_is_not_there_is_said_in_one_line(several: Store) -> None:
    for asked, message in [
        ({"fingerprint": "f1"}, "[('t1', 'float32'), ('t1', 'float64'), ('t2', 'float32')]; choose with task_id= or"),
        ({"fingerprint": "f1", "task_id": "t1"}, "[('t1', 'float32'), ('t1', 'float64')]; choose"),
        ({"fingerprint": "f2", "seed": 5}, "no spectrum of f2 with seed=5; there are [0]"),
        ({"fingerprint": "f2", "task_id": "t2"}, "no spectrum of f2 with task_id='t2'; there are ['t1']"),
        ({"fingerprint": "f2", "dtype": "float64"}, "there are ['float32']"),
        ({"fingerprint": "f3"}, "run `scalecurv analyze CHECKPOINTS STORE --measure spectrum`"),
        ({"fingerprint": "nowhere", "seed": 0}, "run `scalecurv analyze CHECKPOINTS STORE --measure spectrum`"),
    ]:
        with pytest.raises(Misuse) as caught:
            several.spectrum(**asked)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
