"""A checkpoint is found by its step and run, and its arrays by name; one line says what there is instead."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scalecurv.errors import Misuse
from scalecurv.measures import MEASURES
from scalecurv.quantities import ARRAYS
from scalecurv.record import Outcome
from scalecurv.results.query import Store, open_store
from tests.outcomes import failure, outcome, record, store_of

DOCUMENTED = (Path(__file__).parents[2] / "docs" / "quantities.md").read_text()


def rule(path: str, nodes: list[float], measure: str = "spectrum", **fields: Any) -> Outcome:
    """One checkpoint with the Gauss rule of one start, of equal weights."""
    arrays = {"ritz_nodes": nodes, "ritz_weights": [1 / len(nodes)] * len(nodes), "ritz_starts": [0.0] * len(nodes)}
    found = replace(record(f"{path} {nodes} {fields}", {}, **arrays), measure=measure)
    return outcome(path, found, **fields)


def values(path: str, name: str, numbers: list[float], measure: str, version: int = 1, **fields: Any) -> Outcome:
    key = f"{path} {name} {numbers} {version}"
    return outcome(path, replace(record(key, {}, **{name: numbers}), measure=measure, version=version), **fields)


A, B = "/runs/x/a", "/runs/y/a"
OUTCOMES = (
    rule(f"{A}/step_0.pt", [1.0, 2.0]),
    rule(f"{A}/step_10.pt", [3.0, 4.0]),
    rule(f"{B}/step_10.pt", [5.0, 6.0]),
    rule("/runs/c/step_20.pt", [7.0]),
    rule("/runs/c/best_20.pt", [8.0]),
    rule("/runs/c/last.pt", [9.0]),
    failure("/runs/c/step_30.pt", step=30),
    values("/runs/d/step_40.pt", "ritz_weights", [0.5], "extremes"),
    rule("/runs/d/step_40.pt", [4.0]),
    values("/runs/d/step_50.pt", "singular_values", [3.0, 1.0], "rank"),
    values("/runs/d/step_50.pt", "singular_values", [2.0], "rank", version=2),
    values("/runs/e/step_60.pt", "singular_values", [3.0], "rank", fingerprint="same"),
    values("/runs/e/step_60.pt", "singular_values", [4.0], "rank", fingerprint="same", seed=1),
)


@pytest.fixture(scope="module", name="store")
def _store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return open_store(store_of(tmp_path_factory.mktemp("choice") / "store", *OUTCOMES))


def test_a_step_and_a_run_are_a_checkpoint(store: Store) -> None:
    for asked, nodes in [
        ({"step": 0}, [1, 2]),
        ({"step": np.int64(0)}, [1, 2]),
        ({"step": 10.0, "run": A}, [3, 4]),
        ({"step": 10, "run": B}, [5, 6]),
        ({"step": 40, "run": "d"}, [4]),
    ]:
        assert store.spectrum(**asked).nodes.tolist() == nodes
    fingerprints = store.results().set_index("checkpoint")["fingerprint"]
    assert store.spectrum(fingerprints["/runs/c/last.pt"]).nodes.tolist() == [9]


def test_sums_take_the_same_choice(store: Store) -> None:
    fingerprint = store.results().set_index("checkpoint")["fingerprint"][f"{B}/step_10.pt"]
    for ask in (store.effective_dimension, store.log_determinant):
        assert ask(alpha=1e4, step=10, run=B) == ask(fingerprint, 1e4)
        assert ask(alpha=1e4, step=10, run=B) != ask(alpha=1e4, step=10, run=A)
        with pytest.raises(Misuse, match=r"^alpha is not given; give a positive number in the units of H"):
            ask(step=0)


def test_a_choice_that_is_none_is_one_line(store: Store) -> None:
    for asked, message in [
        ({}, "9 checkpoints fit; choose one by step=, one of 0, 10, 20, 40, 50, 60"),
        ({"step": 7}, "no checkpoint of step 7; there are steps 0, 10, 20, 40, 50, 60"),
        ({"step": 30}, "no checkpoint of step 30; there are steps 0, 10, 20, 40, 50, 60"),  # it failed
        ({"step": 10}, f"2 runs have a checkpoint of step 10; choose with run=, one of {A}, {B}"),
        ({"step": 10, "run": "a"}, f"run a is the name of {A}, {B}; give one whole"),
        ({"step": 10, "run": "z"}, f"the store holds no run z; there are /runs/c, /runs/d, /runs/e, {A}, {B}"),
        ({"step": 0, "run": "c"}, "no checkpoint of step 0; there are steps 20"),
        ({"step": 20}, "several checkpoints are of step 20; choose one by fingerprint=: "),
        ({"step": 1.5}, "step is 1.5; give a whole number, as in the column step of results"),
        ({"step": "ten"}, "step is a str; give a whole number, as in the column step of results"),
        ({"step": True}, "step is True; give a whole number, as in the column step of results"),
        ({"fingerprint": "f", "step": 1}, "a fingerprint says which checkpoint is meant; give it alone, or step="),
    ]:
        with pytest.raises(Misuse) as caught:
            store.spectrum(**asked)
        assert str(caught.value).startswith(message)
        assert "\n" not in str(caught.value)


def test_a_store_of_one_checkpoint_needs_no_choice(tmp_path: Path) -> None:
    assert open_store(store_of(tmp_path / "one", OUTCOMES[0])).spectrum().nodes.tolist() == [1, 2]
    with pytest.raises(Misuse, match=r"^the store holds no checkpoint that was analysed; `scalecurv analyze"):
        open_store(store_of(tmp_path / "none", OUTCOMES[6])).spectrum()


def test_arrays_by_name(store: Store) -> None:
    def array(*names: Any, **asked: Any) -> list[float]:
        return store.array(*names, **asked).tolist()

    for part, column in (("ritz_nodes", "nodes"), ("ritz_weights", "weights"), ("ritz_starts", "starts")):
        assert array(part, step=10, run=A) == getattr(store.spectrum(step=10, run=A), column).tolist()
    assert array("ritz_weights", step=40, measure="extremes") == [0.5]
    assert array("ritz_weights", step=40, measure="spectrum") == [1.0]
    assert array("singular_values", step=50) == [2.0]  # of the latest version, though it is shorter
    assert array("singular_values", "same", 1) == [4.0]
    assert array("singular_values", fingerprint="same", seed=0) == [3.0]


def test_arrays_are_copies_in_float64(store: Store) -> None:
    found = store.array("singular_values", step=50)
    assert found.dtype == np.float64
    found[:] = 0
    assert store.array("singular_values", step=50).tolist() == [2.0]


def test_arrays_that_are_not_there_are_one_line(store: Store) -> None:
    start = store.results().set_index("step")["fingerprint"][0]
    there = "there are ritz_nodes, ritz_starts, ritz_weights (spectrum)"
    for asked, message in [
        (
            ("singular_values", start),
            f"no array singular_values of checkpoint {start}; {there}; `scalecurv analyze CHECKPOINTS STORE "
            "--measure rank --singular-values` stores it",
        ),
        (("eigenvalues", start), f"no array eigenvalues of checkpoint {start}; {there}; `scalecurv analyze` stores "),
        (("ritz_nodes", "nowhere"), "no array ritz_nodes of checkpoint nowhere; it has no array; "),
        (("ritz_nodes", start, 3), f"no array ritz_nodes of {start} with seed=3; there are 0"),
        (("singular_values", "same"), "singular_values of same is stored for several seed; choose with seed=0 or"),
    ]:
        with pytest.raises(Misuse) as caught:
            store.array(*asked)
        assert str(caught.value).startswith(message)
        assert "\n" not in str(caught.value)
    with pytest.raises(Misuse, match="several measure; choose with measure='extremes' or another of extremes, spectr"):
        store.array("ritz_weights", step=40)


def test_every_array_is_documented_under_the_measure_that_stores_it() -> None:
    for name, options in ARRAYS.items():
        measure = options.split()[1]
        assert measure in MEASURES
        (row,) = (
            line for line in DOCUMENTED.splitlines() if line.startswith(f"| `{measure}` | ") and "`" + name in line
        )
        assert f"`{name}`" in row
