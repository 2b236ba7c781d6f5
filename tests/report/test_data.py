"""The data of a page: every number is the store's own, and no text of a user is markup."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scalecurv.plot.selection import select
from scalecurv.record import Record
from scalecurv.report.glance import runs_of
from scalecurv.report.numbers import IDENTITY
from scalecurv.report.packing import Blobs, embedded, unpacked
from scalecurv.report.page import data_of, page_of
from scalecurv.report.parts import MOST_COLUMNS, evenly
from scalecurv.results.density import density
from scalecurv.results.query import Store, open_store
from tests.outcomes import exactly, outcome, store_of
from tests.report.shown import BIG, EVIL, edge_store, long_store


def words(data: dict, packed: dict) -> list[str]:
    return [packed["words"][code] for code in unpacked(data["blobs"], packed["codes"])]


def same(left: np.ndarray, right: pd.Series) -> bool:
    """Return True where both have the same bits, NaN where nothing is stored."""
    return np.array_equal(left, right.astype("Float64").to_numpy(dtype=float, na_value=math.nan), equal_nan=True)


def test_every_number_is_the_stores_number(store: Store) -> None:
    data, results, long = data_of(store, select(store)), store.results(), store.table("long")
    assert len(data["quantities"]) == long.loc[long["component"] == "", "quantity"].nunique()
    for packed in data["quantities"]:
        name = packed["name"]
        for part in ("value", "stderr", "lower", "upper"):
            column = name if part == "value" else f"{name}_{part}"
            there = results[column] if column in results else pd.Series(math.nan, index=results.index)
            assert same(unpacked(data["blobs"], packed[part]), there), column
        rows = long[(long["quantity"] == name) & (long["component"] == "")].set_index(IDENTITY)
        placed = rows.reindex(pd.MultiIndex.from_frame(results[IDENTITY]))
        for part in ("status", "method"):
            assert words(data, packed[part]) == placed[part].fillna("").astype(str).tolist(), (name, part)
        for part in ("confidence", "num_samples", "num_matvecs"):
            assert same(unpacked(data["blobs"], packed[part]), placed[part].reset_index(drop=True)), (name, part)


def test_an_open_end_is_infinite_and_a_whole_number_keeps_its_digits(tmp_path: Path) -> None:
    store = edge_store(tmp_path / "store")
    data = data_of(store, select(store))
    (rank,) = (one for one in data["quantities"] if one["name"] == "rank")
    ends = [unpacked(data["blobs"], rank[part]).tolist() for part in ("value", "lower", "upper")]
    assert ends == [[31.0, 31.0], [30.0, 30.0], [math.inf, math.inf]]
    for name, number in (("loss", 1e-300), ("grad_norm", 1e300)):  # beyond what axes can hold
        (packed,) = (one for one in data["quantities"] if one["name"] == name)
        assert unpacked(data["blobs"], packed["upper"]).tolist() == [number, number]
    assert words(data, data["rows"]["counts"]["seed"]) == [str(BIG)] * 2
    assert words(data, data["rows"]["attributes"]["samples"]) == [str(BIG)] * 2


def test_labels_attributes_and_lines_are_those_of_results(store: Store) -> None:
    data, results = data_of(store, select(store)), store.results()
    rows = data["rows"]
    for name in ("checkpoint", "run", "status", "error"):
        assert words(data, rows["texts"][name]) == results[name].fillna("").tolist()
    assert same(unpacked(data["blobs"], rows["counts"]["step"]["numbers"]), results["step"])
    assert same(unpacked(data["blobs"], rows["attributes"]["lr"]["numbers"]), results["lr"])
    assert words(data, rows["attributes"]["optimizer"]) == results["optimizer"].tolist()
    lines = [data["series"]["labels"][code]["run"] for code in unpacked(data["blobs"], data["series"]["codes"])]
    # the checkpoint that failed has no dtype, and is no other way of analysis
    assert lines == results["run"].tolist()


def test_densities_and_layers_are_the_stores(store: Store) -> None:
    data, results, long = data_of(store, select(store)), store.results(), store.table("long")
    assert data["densities"]["count"] == len(data["densities"]["curves"]) == 16
    for packed in data["densities"]["curves"]:
        curve = density(store.spectrum(results["fingerprint"][packed["row"]]), points=400)
        wanted = {
            "grid": curve.grid,
            "values": curve.values,
            **dict(zip(("lower", "upper"), curve.interval(), strict=True)),
        }
        for part, values in wanted.items():
            assert np.array_equal(unpacked(data["blobs"], packed[part]), values), part
    (packed,) = data["layers"]
    grid = unpacked(data["blobs"], packed["value"]).reshape(len(packed["components"]), -1)
    rows = unpacked(data["blobs"], packed["rows"])
    for component, line in zip(packed["components"], grid, strict=True):
        there = long[(long["component"] == component)].set_index("checkpoint")["value"]
        assert line.tolist() == there[results["checkpoint"][rows]].tolist()


def test_many_columns_of_a_heat_map_are_thinned_evenly() -> None:
    for count in (1, 2, MOST_COLUMNS, 12_345):
        kept = evenly(count, MOST_COLUMNS)
        assert kept[0] == 0
        assert kept[-1] == count - 1
        assert len(kept) == min(count, MOST_COLUMNS)
        assert np.ptp(np.diff(kept)) <= 1 if count > 2 else True


def test_no_number_is_lost_however_many_there_are(tmp_path: Path) -> None:
    store = long_store(tmp_path, 700)
    data = data_of(store, select(store))
    assert same(unpacked(data["blobs"], data["quantities"][0]["value"]), store.results()["trace"])


def test_an_expression_has_the_interval_of_plot_and_sharpness_comes_of_itself(store: Store) -> None:
    data = data_of(store, select(store), ["trace * 2", "trace"])
    first, second, edge = data["expressions"]
    assert [first["name"], second["name"], edge["name"]] == ["trace * 2", "trace", "lambda_max * lr / 2"]
    assert [one["asked"] for one in data["expressions"]] == [True, True, False]
    results = store.results()
    for part in ("value", "lower", "upper"):
        column = results["trace" if part == "value" else f"trace_{part}"] * 2
        assert same(unpacked(data["blobs"], first[part]), column)
    upper = unpacked(data["blobs"], edge["upper"])
    wanted = (results["lambda_max_upper"] * results["lr"] / 2).to_numpy(dtype=float)
    np.testing.assert_allclose(upper, wanted, rtol=1e-12)


@pytest.mark.parametrize("text", ["</script>", "<!--", "]]>", "&amp;", "\u2028\u2029", 'a"b\\'])
def test_json_in_a_page_holds_any_text_and_no_markup(text: str) -> None:
    shown = embedded({text: [text]})
    assert json.loads(shown) == {text: [text]}
    assert not re.search("[<>&\u2028\u2029]", shown)


def test_numbers_that_json_lacks_are_packed_and_equal_columns_are_packed_once() -> None:
    blobs, odd = Blobs(), [math.nan, math.inf, -math.inf, -0.0, 5e-324, 0.1]
    first, again, whole = blobs.floats(odd), blobs.floats(odd), blobs.integers([1, -2])
    assert first == again != whole
    assert unpacked(blobs.texts, first).tobytes() == np.array(odd).tobytes()
    with pytest.raises(ValueError, match="JSON"):
        embedded({"value": math.nan})


def test_no_name_of_a_user_is_markup_anywhere_in_the_page(store: Store) -> None:
    content, _ = page_of(store, title=EVIL, where="error <> '<script>' or error is null")
    text = content.decode()
    assert EVIL.replace("/", "_") not in text
    assert "&lt;script&gt;alert(1)&lt;" in text
    ours = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert "alert(1)</script>" not in ours
    assert "<i>so</i>" not in ours
    assert "<b>$x" not in ours


def test_runs_are_in_the_order_of_the_numbers_in_their_names(tmp_path: Path) -> None:
    names = ("lr0.0127", "lr0.1", "lr0.01")
    found = [Record(f"k{name}", "gradient", exactly(loss=float(i))) for i, name in enumerate(names)]
    store_of(tmp_path, *[outcome(f"/r/{name}/a.pt", one) for name, one in zip(names, found, strict=True)])
    data = data_of(store := open_store(tmp_path), select(store))
    labels = [one["label"] for one in data["series"]["labels"]]
    assert labels == ["lr0.01", "lr0.0127", "lr0.1"] == [run.name for run in runs_of(select(store))]
    codes = unpacked(data["blobs"], data["series"]["codes"])
    assert [labels[code] for code in codes] == [run.rpartition("/")[2] for run in store.results()["run"]]
