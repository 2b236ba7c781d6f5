"""A store in SQL and pandas: the promised columns, nulls for what is not there, one line for what does not run."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from scalecurv.record import Outcome
from scalecurv.results.query import Store, open_store
from scalecurv.statistics.estimate import NAN, Estimate, Status
from tests.outcomes import FAILED, exactly, failure, outcome, record, sampled, store_of

QUANTITIES = [
    "loss", "grad_norm", "trace", "trace_h2", "lambda_max", "lambda_min", "ghg", "gh2g", "scalar_curvature", "rank",
    "rank_ceiling", "beta", "t2_minus_f", "trace_ggn", "lambda_max_ggn", "curvature_lower", "curvature_upper",
    *(f"chain_{i}" for i in range(1, 7)), "rank_1e2", "rank_1e3", "rank_1e6", "rank_generic", "stable_rank",
    "jacobian_participation_ratio", "kink_margin", "account_dead", "account_rescaling", "account_data_limited",
    "account_unexplained", "functional_dimension_lower", "mean_curvature", "sectional_max", "sectional_min",
    "effective_rank", "participation_ratio", "noise_floor", "kinks", "trace_rescaled", "imbalance", "euler_bound",
    "residual_share", "principal_max", "principal_max_2", "principal_min_2", "principal_min", "sectional_mean",
    "sectional_ritz", "ricci_gradient", "scalar_curvature_convex", "sharpness_radius", "sharpness_sam",
    "sharpness_mean", "sgd_threshold", "batch_sharpness", "relative_flatness", "relative_flatness_neuron",
    "adaptive_trace",
]  # fmt: skip
WHOLE = [name for name in QUANTITIES if name.startswith(("rank", "account"))] + ["functional_dimension_lower", "kinks"]
NAMED = ["checkpoint", "run", "step", "epoch", "num_params", "fingerprint", "task_id", "dtype", "seed", "status"]
NAMED += ["chain_status", "error", "total_matvecs"]
UNBOUNDED = Estimate(7.0, NAN, 7.0, float("inf"), 1.0, 0, 9, "sketch", Status.LOWER_BOUND)
A = outcome(
    "/runs/a/step_2.pt",
    record("k1", {("trace", ""): sampled(12.0, 0.5), ("trace", "fc1"): sampled(3.0, 0.5), **exactly(rank=5)}),
    record("k2", {("rank_1e2", ""): UNBOUNDED, ("chain_1", ""): Estimate.not_applicable("no interpolation")}),
    epoch=0.5,
)
B = outcome("/runs/a/step_10.pt", record("k3", exactly(trace=20.0)))
C = outcome("/runs/a/best.pt", record("k4", {("trace", ""): FAILED, **exactly(loss=0.25)}), status="partial")
D = failure("/runs/b/step_1.pt", step=1)


@pytest.fixture(scope="module", name="store")
def _store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return open_store(store_of(tmp_path_factory.mktemp("query") / "store", A, B, C, D))


def test_exactly_the_promised_columns(store: Store) -> None:
    suffixed = [name + suffix for name in QUANTITIES for suffix in ("", "_stderr", "_lower", "_upper")]
    assert sorted(store.results(all_columns=True).columns) == sorted({*NAMED, *suffixed})
    found = store.results(all_columns=True)
    filled = [name for name in found if name in NAMED or found[name].notna().any()]
    assert list(store.results()) == filled
    assert {"trace", "trace_stderr", "rank", "rank_1e2_lower", "loss"} <= set(filled)
    assert not {"rank_stderr", "rank_1e2_upper", "lambda_max", "chain_1"} & set(filled)


def test_a_query_sees_the_columns_that_it_names(store: Store) -> None:
    """Null where nothing is known, and beside the others only if all are asked for."""
    assert store.sql('select "LAMBDA_MAX" from results')["lambda_max"].isna().all()
    assert "lambda_min" not in store.sql("select *, lambda_max_upper from results")
    assert list(store.sql("select * from results")) == list(store.results())
    assert list(store.sql("select * from results", all_columns=True)) == list(store.results(all_columns=True))


def test_whole_numbers_are_whole(store: Store) -> None:
    types = store.results(all_columns=True).dtypes
    whole = [name for name, dtype in types.items() if dtype == "Int64" and name not in NAMED]
    assert sorted(whole) == sorted({name + suffix for name in WHOLE for suffix in ("", "_lower", "_upper")})
    assert store.sql("select distinct typeof(rank), typeof(step), typeof(num_params) from results").values.tolist() == [
        ["BIGINT"] * 3
    ]


def test_rank_lower_is_the_lower_end_of_the_rank(tmp_path: Path) -> None:
    """Also where a store holds a quantity of that name."""
    both = {("rank", ""): sampled(5.0, 2.0), ("rank_lower", ""): Estimate.exact(4.0, "modular")}
    rows = open_store(store_of(tmp_path, A, replace(B, records=(record("k", both),)))).results()
    assert rows[["rank", "rank_lower", "rank_upper"]].values.tolist() == [[5, 5, 5], [5, 3, 7]]
    assert open_store(tmp_path).estimates()["quantity"].tolist().count("rank_lower") == 1


def test_one_row_a_checkpoint_in_the_order_of_training(store: Store) -> None:
    rows = store.results()[["run", "step", "status", "trace"]]
    told = [(Path(r.run).name, None if pd.isna(r.step) else r.step, r.status) for r in rows.itertuples()]
    assert told == [("a", 2, "ok"), ("a", 10, "ok"), ("a", None, "partial"), ("b", 1, "failed")]
    assert rows["trace"].tolist()[:2] == [12.0, 20.0]


def test_a_number_with_its_interval(store: Store) -> None:
    columns = "trace, trace_stderr, trace_lower, trace_upper, epoch, num_params, total_matvecs"
    assert store.sql(f"select {columns} from results where step = 2").values.tolist() == [
        [12.0, 0.25, 11.5, 12.5, 0.5, 42, 30]
    ]
    tidy = store.sql("select component, value from estimates where quantity = 'trace' and key = 'k1' order by value")
    assert tidy.values.tolist() == [["fc1", 3.0], ["", 12.0]]


def test_what_is_not_there_is_null(store: Store) -> None:
    for condition in [
        "step = 2 and rank_stderr is null",  # not sampled
        "step = 2 and loss is null and loss_lower is null",  # not asked
        "step = 2 and chain_1 is null and chain_1_upper is null",  # not applicable
        "step = 2 and rank_1e2 = 7 and rank_1e2_lower = 7 and rank_1e2_upper is null",  # no upper bound
        "status = 'partial' and trace is null and trace_lower is null and loss = 0.25",  # failed
        "status = 'partial' and step is null and epoch is null",
        "step = 10 and chain_status is null",  # not asked
        "step = 2 and chain_status = 'not_applicable'",
    ]:
        assert store.sql(f"select count(*) from results where {condition}").values.tolist() == [[1]]
        assert store.sql("select count(*) from results where isnan(trace)").values.tolist() == [[0]]


def links(*verdicts: str) -> dict[tuple[str, str], Estimate]:
    """A chain whose links say so, a reason without a colon standing for not applicable."""
    return {
        (f"chain_{i}", ""): Estimate.not_applicable(verdict)
        if verdict.startswith("the chain")
        else Estimate.exact(float(i), f"as proven: r (r - 1) lambda^2: {verdict}")
        for i, verdict in enumerate(verdicts, 1)
    }


CHAINS: list[tuple[tuple[str, ...], str]] = [
    (("holds",) * 6, "holds"),
    (("holds",) * 5 + ("undecided",), "undecided"),
    (("undecided", "violated") + ("holds",) * 4, "violated"),
    (("the chain needs mse: max |f - y| <= 1e-6",) * 6, "not_applicable"),
    (("holds",) * 5 + ("the chain needs mse",), "not_applicable"),
]


def test_the_chain_as_a_whole(tmp_path: Path) -> None:
    """Of each checkpoint alone: its neighbours say something else, and the last was not asked."""
    asked = [
        outcome(f"/a/step_{i}.pt", record(f"k{i}", {**links(*verdicts), **exactly(trace=1.0)}))
        for i, (verdicts, _) in enumerate(CHAINS)
    ]
    rows = open_store(store_of(tmp_path, *asked, outcome("/a/step_9.pt", record("k9", exactly(loss=1.0)))))
    results = rows.results()
    assert results["chain_status"].fillna("").tolist() == [*(status for _, status in CHAINS), ""]
    assert results.columns.tolist().index("chain_status") == results.columns.tolist().index("status") + 1
    for status in {status for _, status in CHAINS}:
        where = f"select step from results where chain_status = '{status}' and chain_status is not null order by step"
        assert rows.sql(where)["step"].tolist() == [i for i, (_, found) in enumerate(CHAINS) if found == status]


def test_links_that_failed_say_nothing_of_the_chain(tmp_path: Path) -> None:
    failed = outcome("/a.pt", record("k", {(f"chain_{i}", ""): FAILED for i in range(1, 7)}), status="partial")
    assert open_store(store_of(tmp_path, failed)).results()["chain_status"].isna().tolist() == [True]


def test_a_failed_checkpoint_appears_with_nulls(store: Store) -> None:
    row = store.results().query("status == 'failed'").iloc[0]
    known = {
        "checkpoint": D.path,
        "run": "/runs/b",
        "step": 1,
        "seed": 0,
        "task_id": "t1",
        "error": D.error,
        "status": "failed",
    }
    assert {name: row[name] for name in known} == known
    assert row.drop([*known, "fingerprint", "dtype", "total_matvecs"]).isna().all()


def test_tasks_seeds_and_dtypes_are_rows_of_their_own(tmp_path: Path) -> None:
    changes = [{}, {"task_id": "t2"}, {"seed": 1}, {"dtype": "float64"}]
    runs = [
        replace(B, records=(record(f"k{i}", exactly(trace=float(i))),), **change) for i, change in enumerate(changes)
    ]
    rows = open_store(store_of(tmp_path, *runs)).results()
    assert sorted(zip(rows["task_id"], rows["seed"], rows["dtype"], rows["trace"], strict=True)) == [
        ("t1", 0, "float32", 0.0),
        ("t1", 0, "float64", 3.0),
        ("t1", 1, "float32", 2.0),
        ("t2", 0, "float32", 1.0),
    ]


def trace(value: float, num_matvecs: int, version: int, created: float) -> Outcome:
    """One run of many that asked for the trace, each with other options."""
    estimate = replace(sampled(value, 0.1), num_matvecs=num_matvecs)
    found = replace(record(f"k{value}", {("trace", ""): estimate}), version=version)
    return outcome("/a.pt", found, created=created)


@pytest.mark.parametrize(
    ("runs", "best"),
    [
        ([(1.0, 30, 1, 1.0), (2.0, 30, 1, 2.0)], 2.0),  # the newest of equals
        ([(1.0, 900, 1, 1.0), (2.0, 30, 1, 2.0)], 1.0),  # a coarse run does not hide a fine one
        ([(1.0, 900, 1, 3.0), (2.0, 30, 2, 2.0)], 2.0),  # what a later version says of it
    ],
)
def test_the_best_answer_of_several(tmp_path: Path, runs: list[tuple[float, int, int, float]], best: float) -> None:
    store = open_store(store_of(tmp_path, *(trace(*run) for run in runs)))
    assert store.results()[["trace", "trace_upper"]].values.tolist() == [[best, best + 0.1]]
    assert store.chosen()[["quantity", "value"]].values.tolist() == [["trace", best]]


def test_the_best_answer_is_one_that_did_not_fail(tmp_path: Path) -> None:
    """It is an exact one where there is any; which part sorts first plays no part."""
    runs = [
        outcome("/a.pt", record("zz", {("trace", ""): sampled(1.0, 0.1)}), created=1.0),
        outcome(
            "/a.pt", record("aa", {("trace", ""): sampled(2.0, 0.1), ("trace", "fc1"): sampled(9, 1)}), created=2.0
        ),
        outcome(
            "/a.pt",
            record("mm", {("trace", ""): replace(FAILED, num_matvecs=500), **exactly(loss=3.0)}),
            created=3.0,
            status="partial",
        ),
    ]
    rows = open_store(store_of(tmp_path, *runs)).results()
    assert rows[["trace", "trace_stderr", "loss", "total_matvecs"]].values.tolist() == [[2.0, 0.05, 3.0, 90]]
    store_of(tmp_path, outcome("/a.pt", record("ee", exactly(trace=4.0)), created=0.5))
    assert open_store(tmp_path).results()["trace"].tolist() == [4.0]


def test_partial_as_long_as_something_failed(tmp_path: Path) -> None:
    """A later run that went well, of other measures, does not make up for what failed before it."""
    broke = outcome("/a.pt", record("k1", {("trace", ""): FAILED}), status="partial", created=1.0)
    fine = outcome("/a.pt", record("k2", exactly(loss=1.0)), created=2.0)
    store = store_of(tmp_path, broke, fine)
    assert open_store(store).results()["status"].tolist() == ["partial"]
    store_of(tmp_path, outcome("/a.pt", record("k3", exactly(trace=1.0)), created=3.0))
    assert open_store(store).results()["status"].tolist() == ["ok"]


def test_one_content_at_two_paths_gives_both_their_numbers(tmp_path: Path) -> None:
    last = replace(B, path="/runs/a/last.pt", step=None, records=())
    rows = open_store(store_of(tmp_path, B, last)).results()
    assert rows["trace"].tolist() == [20.0, 20.0]


def test_an_empty_store_has_the_columns_and_no_rows(store: Store, tmp_path: Path) -> None:
    empty = open_store(tmp_path)
    assert list(empty.results(all_columns=True)) == list(store.results(all_columns=True))
    assert list(empty.results()) == list(empty.results(all_columns=True))  # no row says which will be null
    assert list(empty.table("long")) == list(store.table("long"))
    assert empty.sql("select count(*) from results").values.tolist() == [[0]]
