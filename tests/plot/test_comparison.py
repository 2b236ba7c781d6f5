"""Runs compared at one step, or at one loss: the numbers, their groups, their means."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

import scalecurv as sc
from scalecurv.errors import Misuse
from scalecurv.plot.canvas import figure_of, remarks
from tests.plot.frames import bars_of, frame, marks_of, study, words_of


def points(**options: object) -> list[tuple[float, float]]:
    return marks_of(sc.plot.compare(study(), "lambda_max", **options), "o")


def test_each_run_is_a_point_in_the_group_of_its_rate_at_the_last_common_step() -> None:
    axes = sc.plot.compare(study(), "lambda_max")
    found = sorted((round(x), y) for x, y in marks_of(axes, "o"))
    assert found == [(0, 40.0), (0, 41.0), (1, 20.0), (1, 21.0), (2, 10.0), (2, 11.0)]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.05", "0.1", "0.2"]
    ends = sorted((low, high) for x, low, high in bars_of(axes) if low < high)
    assert ends == sorted((y - 1, y + 2) for _, y in found)
    assert [y for _, y, _ in sorted(bars_of(axes)) if y in (40.5, 20.5, 10.5)] == [40.5, 20.5, 10.5]  # means
    assert (axes.get_xlabel(), words_of(axes)) == ("lr", ["mean of the points"])
    assert "step 200" in axes.get_title(loc="left")


def test_points_of_a_group_lie_beside_each_other() -> None:
    xs = sorted(x for x, _ in points())
    assert len(set(xs)) == 6
    assert np.allclose([round(x) for x in xs], xs, atol=0.3)


def test_other_places_to_compare_at() -> None:
    assert sorted(y for _, y in points(at=0)) == [5, 5, 5, 6, 6, 6]
    equal = sc.plot.compare(study(), "loss", at="equal loss")
    # the smallest losses are 0.525, 0.55, 0.6: each is nearest to the largest of them
    assert sorted(y for _, y in marks_of(equal, "o")) == pytest.approx([0.525, 0.525, 0.55, 0.55, 0.6, 0.6])
    assert "loss 0.6 (within 0.07)" in equal.get_title(loc="left")
    shorter = pd.concat([study(), frame([0, 100], "/runs/short", lambda_max=[1.0, 2.0], loss=[2.0, 1.0], lr=0.4)])
    assert "step 100" in sc.plot.compare(shorter, "lambda_max").get_title(loc="left")
    axes = sc.plot.compare(shorter, "lambda_max", at=200)
    assert remarks(figure_of(axes)) == ["1 run(s) without step 200 left out"]


def test_a_run_without_the_number_or_without_a_loss_is_said_to_be_left_out() -> None:
    rows = pd.concat([study(), frame([0, 200], "/runs/bare", lambda_max=[1.0, None], loss=[None, None], lr=0.4)])
    last = sc.plot.compare(rows, "lambda_max")
    assert remarks(figure_of(last)) == ["1 run(s) without lambda_max at step 200 left out"]
    equal = sc.plot.compare(rows, "lambda_max", at="equal loss")
    assert len(marks_of(equal, "o")) == 6
    assert remarks(figure_of(equal)) == ["1 run(s) without loss 0.6 (within 0.07) left out"]


def test_numbers_of_two_tasks_have_no_mean() -> None:
    rows = pd.concat([study(), study().assign(task_id="other")])
    axes = sc.plot.compare(rows, "lambda_max", by="lr")
    assert len(marks_of(axes, "o")) == 12
    assert words_of(axes) == []


def test_groups_and_colours_are_attributes_or_expressions() -> None:
    axes = sc.plot.compare(study(), "lambda_max * lr / 2", by="lr > 0.07", color="run_seed", lines=[1])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["False", "True"]
    assert words_of(axes)[:2] == ["run_seed = 0", "run_seed = 1"]  # a narrow figure: below the panel
    assert axes.lines[-1].get_ydata()[0] == 1 or any(line.get_ydata()[0] == 1 for line in axes.lines)


def test_misuse_is_one_line() -> None:
    apart = pd.concat([frame([0], "/r/a", loss=[1.0]), frame([1], "/r/b", loss=[1.0])])
    cases = (
        (apart, {"quantity": "loss"}, "the runs of the frame have no step in common; give at=STEP, or 'equal loss'"),
        (study(), {"at": 70}, "no checkpoint has step 70; near it are 0, 100, 200"),
        (study(), {"at": "first"}, "at is 'first'; give 'last', 'equal loss' or a step"),
        (study().drop(columns="loss"), {"at": "equal loss"}, "the frame holds no loss to compare at; "),
    )
    for rows, options, said in cases:
        with pytest.raises(Misuse) as caught:
            sc.plot.compare(rows, **{"quantity": "lambda_max", **options})
        assert str(caught.value).startswith(said)


@pytest.mark.parametrize(("size", "count"), [((7, 4), 20), ((3.3, 2.4), 6)])
def test_names_of_groups_do_not_meet(size: tuple[float, float], count: int) -> None:
    rates = tuple(float(rate) for rate in np.round(np.geomspace(0.01, 1, count), 4))
    axes = sc.plot.compare(study(1, rates), "lambda_max", by="lr", size=size)
    figure_of(axes).draw_without_rendering()
    labels = axes.get_xticklabels()
    boxes = [label.get_window_extent() for label in labels]
    straight = all(label.get_rotation() == 0 for label in labels)
    assert not straight or all(a.x1 < b.x0 for a, b in pairwise(boxes))
    assert axes.get_title(loc="left").startswith("largest eigenvalue")


def test_only_a_picture_over_steps_speaks_of_a_dashed_line() -> None:
    value = ([1.0, 2.0], [0.5, 1.5], [1.5, 2.5])
    alone = frame([0, 10], scalar_curvature=value)
    both = frame([0, 10], scalar_curvature=value, t2_minus_f=value)
    assert sc.plot.compare(both, "scalar_curvature").get_title(loc="left") == "scalar curvature, step 10"
    assert sc.plot.trajectories(alone, "scalar_curvature").get_title(loc="left") == "scalar curvature"
    assert "dashed" in sc.plot.trajectories(both, "scalar_curvature").get_title(loc="left")
