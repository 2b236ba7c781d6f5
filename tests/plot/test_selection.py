"""Rows to draw: by a condition, by a run, from a store or from a frame of any of its tables."""

from pathlib import Path

import pandas as pd
import pytest

from scalecurv.errors import Misuse
from scalecurv.plot.attributes import attribute
from scalecurv.plot.expressions import numbers
from scalecurv.plot.labels import plain
from scalecurv.plot.selection import attributes_in, identity, quantities_in, run_names, select
from scalecurv.plot.style import PALETTE, STYLE, palette, styled
from scalecurv.results.query import open_store
from scalecurv.statistics.estimate import Status
from tests.outcomes import exactly, outcome, record, sampled, store_of
from tests.plot.frames import frame, study


def test_conditions_choose_rows_and_keep_their_types_and_order() -> None:
    rows = study().iloc[::-1].reset_index(drop=True)
    chosen = select(rows, "lr < 0.15 and step > 50").rows
    expected = rows[(rows["lr"] < 0.15) & (rows["step"] > 50)].reset_index(drop=True)
    pd.testing.assert_frame_equal(chosen, expected)
    unknown = frame([0, 1], trace=[None, 2.0])
    assert select(unknown, "trace > 1").rows["step"].tolist() == [1]  # null is no


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("step >", "the condition 'step >' does not run: syntax error at or near"),
        ("stepp > 1", "the condition 'stepp > 1' does not run: Binder Error: Referenced column \"stepp\" not found"),
        ("step", "the condition 'step' gives "),
        ("true; drop table results", "the condition 'true; drop table results' does not run: "),
        ("step > 999", "no checkpoint meets 'step > 999'; the frame itself shows what is there"),
    ],
)
def test_conditions_that_choose_nothing_are_one_line(where: str, said: str) -> None:
    with pytest.raises(Misuse) as caught:
        select(study(), where)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_runs_are_chosen_by_path_or_name() -> None:
    rows = pd.concat([frame([0], path) for path in ("/a/x/seed0", "/a/y/seed0", "/b/plain")])
    assert select(rows, run="plain").rows["run"].tolist() == ["/b/plain"]
    assert select(rows, run="x/seed0").rows["run"].tolist() == ["/a/x/seed0"]
    assert select(rows, run=["/b/plain", "seed0"]).rows["run"].nunique() == 3
    with pytest.raises(Misuse, match="no run is called 'plane'; there are 3, such as plain"):
        select(rows, run="plane")
    with pytest.raises(Misuse, match="the frame has no column run to choose by"):
        select(rows.drop(columns="run"), run="plain")


def test_short_names_of_runs_differ() -> None:
    for paths in (["/a/b", "/c/b", "/b"], ["x", "x/x", "/x/x"], ["/r/1", "/r/1", "/r/2"], [""]):
        names = run_names(paths)
        assert list(names) == list(dict.fromkeys(paths))
        assert len(set(names.values())) == len(names), paths


def test_columns_are_quantities_or_attributes_or_facts() -> None:
    rows = study().assign(own=1.0, own_lower=0.0, own_upper=2.0, trace_stderr=0.1, trace=1.0)
    assert quantities_in(rows) == ["lambda_max", "loss", "own", "trace"]
    assert attributes_in(rows) == ["lr", "run_seed"]
    assert identity(rows) == ["run", "task_id", "dtype", "seed"]
    assert identity(rows[["step", "lr", "own"]]) == ["lr"] or "own" not in identity(rows[["step", "lr"]])


def test_statuses_come_from_the_store(tmp_path: Path) -> None:
    estimates = {("trace", ""): sampled(1.0, 0.5, Status.BUDGET), **exactly(loss=1.0)}
    opened = open_store(store_of(tmp_path, outcome("/r/a/step_1.pt", record("k", estimates))))
    assert select(opened).statuses("trace").tolist() == ["budget"]
    assert select(opened).statuses("loss").tolist() == ["exact"]
    assert select(opened).statuses("rank").tolist() == [""]
    assert select(opened.table("long")).statuses("trace").tolist() == ["budget"]
    assert select(opened.results()).statuses("trace").tolist() == [""]  # the wide table has none


def test_the_style_file_has_the_palette_and_gives_way_to_the_user() -> None:
    import matplotlib

    with styled():
        assert [color.upper().removeprefix("#") for color in palette()] == [c.removeprefix("#") for c in PALETTE]
        assert matplotlib.rcParams["font.size"] == 9
    assert matplotlib.rcParams["font.size"] == 10
    with matplotlib.rc_context({"font.size": 13.0}), styled():
        assert matplotlib.rcParams["font.size"] == 13
    with styled("ggplot", font_size=6):
        assert palette()[0] == "#E24A33"
        assert matplotlib.rcParams["font.size"] == 6
    assert STYLE.is_file()


def test_no_text_of_a_user_is_a_formula() -> None:
    import matplotlib

    assert plain("$x$ a_b\n<c>") == r"\$x\$ a_b <c>"
    with matplotlib.rc_context({"text.usetex": True}):
        assert plain("a_b 5% \\x {y} ~^") == r"a\_b 5\% \textbackslash{}x \{y\} \~{}\^{}"


def test_an_attribute_may_have_any_name() -> None:
    rows = study().rename(columns={"lr": "weight-decay"})
    assert attribute(select(rows), "weight-decay").tolist() == rows["weight-decay"].tolist()
    assert numbers(select(rows), "weight-decay").value.tolist() == rows["weight-decay"].tolist()
    with pytest.raises(Misuse, match="no quantity or attribute 'weight'"):
        numbers(select(rows), "weight-decai")
