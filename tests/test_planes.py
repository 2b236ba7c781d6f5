"""The planes of a run: steps as the files hold them, in the order of training, one run apart from another."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from scalecurv.checkpoints.task import Arithmetic
from scalecurv.errors import Misuse
from scalecurv.planes import COLUMNS, planes_of_steps
from tests.dense import Dense, dense
from tests.networks import mlp
from tests.runs import WIDTHS, write_checkpoint, write_data, write_malicious, write_not_finite, write_truncated

SAID = dict.fromkeys(("data", "loss", "reduction", "model", "activation"))
NAMES = [f"{layer}.{kind}" for layer in (0, 2) for kind in ("weight", "bias")]


def walk(count: int = 5, seed: int = 0, dtype: torch.dtype = torch.float32) -> list[dict[str, Tensor]]:
    """Return the weights of a run: a 6-5-3 network and small random steps from it."""
    rng = torch.Generator().manual_seed(seed)
    shapes = [p.shape for p in mlp(nn.ReLU, WIDTHS).parameters()]
    run = [{name: torch.randn(s, generator=rng, dtype=dtype) / 2 for name, s in zip(NAMES, shapes, strict=True)}]
    for _ in range(count - 1):
        run.append({n: t + torch.randn(t.shape, generator=rng, dtype=dtype) / 50 for n, t in run[-1].items()})
    return run


def write_walk(folder: Path, run: Sequence[dict[str, Tensor]], names: Sequence[str] = (), **problem: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for step, weights in enumerate(run):
        name = names[step] if names else f"step_{step}.pt"
        torch.save({"model": weights, "step": 10 * step}, folder / name)
    write_data(folder / "data.npz")
    spec = {"data": "data.npz", "loss": "cross_entropy", "activation": "relu", **problem}
    (folder / "problem.json").write_text(json.dumps(spec))
    return folder


def planes(*paths: Path, **said: str) -> tuple[pd.DataFrame, list[str]]:
    return planes_of_steps(paths, {**SAID, **said}, Arithmetic("float64"))


def flat(weights: dict[str, Tensor]) -> Tensor:
    return torch.cat([weights[name].double().flatten() for name in NAMES])


def truth_at(weights: dict[str, Tensor], data: Path, loss: str = "cross_entropy", reduction: str = "mean") -> Dense:
    model = mlp(nn.ReLU, WIDTHS).double()
    model.load_state_dict({name: t.double() for name, t in weights.items()})
    with np.load(data) as file:
        x, y = (torch.from_numpy(file[name]) for name in ("x", "y"))
    return dense(model, x.double(), y, loss, reduction)


def sectional(truth: Dense, u: Tensor, v: Tensor) -> float:
    """Return beta times the quotient of two Gram determinants."""
    U, g, H = torch.stack([u, v], 1), truth.gradient, truth.hessian
    along = U.T @ g
    return float(truth.beta * torch.linalg.det(U.T @ H @ U) / torch.linalg.det(U.T @ U + torch.outer(along, along)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_row_is_what_the_files_say(tmp_path: Path, dtype: torch.dtype, reduction: str) -> None:
    run = walk(dtype=dtype)
    folder = write_walk(tmp_path / "run", run, reduction=reduction)
    table, failures = planes(folder)
    assert (failures, list(table.columns), len(table)) == ([], list(COLUMNS), 3)
    for i, row in table.iterrows():
        u, v = (flat(run[i + k + 1]) - flat(run[i + k]) for k in (0, 1))
        truth = truth_at(run[i + 1], folder / "data.npz", reduction=reduction)
        assert (row["run"], row["before"], row["step"], row["after"]) == (str(folder), 10 * i, 10 * i + 10, 10 * i + 20)
        assert row["sectional_curvature"] == pytest.approx(sectional(truth, u, v), rel=1e-9)
        assert row["cosine"] == pytest.approx(float(u @ v / (u.norm() * v.norm())), rel=1e-9)
        assert row["length_in"] == pytest.approx(float(u.norm()), rel=1e-12)
        assert row["length_out"] == pytest.approx(float(v.norm()), rel=1e-12)
        assert row["beta"] == pytest.approx(truth.beta, rel=1e-12)


def test_the_order_is_that_of_steps_and_not_of_names(tmp_path: Path) -> None:
    run = walk()
    plain, _ = planes(write_walk(tmp_path / "plain", run))
    other, failures = planes(write_walk(tmp_path / "other", run, ["e.pt", "b.pt", "z.pt", "a.pt", "c.pt"]))
    assert failures == []
    pd.testing.assert_frame_equal(other.drop(columns="run"), plain.drop(columns="run"))


def test_without_steps_the_order_is_that_of_names(tmp_path: Path) -> None:
    """Numbers in names compare as numbers; files that say their step come first; rows without one carry the name."""
    run, names = walk(4), ["model-v9.pt", "model-v10.pt", "model-v11.pt"]
    folder = write_walk(tmp_path / "run", run[3:])
    for name, weights in zip(names, run, strict=False):
        torch.save(weights, folder / name)
    table, _ = planes(folder)
    assert table[["before", "step", "after"]].values.tolist() == [[0, *names[:2]], names]
    u, v = flat(run[1]) - flat(run[0]), flat(run[2]) - flat(run[1])
    wanted = sectional(truth_at(run[1], folder / "data.npz"), u, v)
    assert table["sectional_curvature"][1] == pytest.approx(wanted, rel=1e-9)


def test_runs_are_kept_apart(tmp_path: Path) -> None:
    """Three runs of three, one of two, which has no plane; a folder checkpoint-0/ is part of the run around it."""
    folder = write_walk(tmp_path, walk(0))
    for name, count in (("a", 3), ("b", 3), ("c", 2)):
        write_walk(folder / name, walk(count, seed=ord(name)))
    for i, weights in enumerate(walk(3, seed=9)):
        (folder / "d" / f"checkpoint-{i}").mkdir(parents=True)
        torch.save(weights, folder / "d" / f"checkpoint-{i}" / "model.pt")
    table, failures = planes(folder)
    assert (list(table["run"]), failures) == ([str(folder / name) for name in "abd"], [])
    alone = pd.concat([planes(folder / name)[0] for name in "ab"], ignore_index=True)
    pd.testing.assert_frame_equal(table[:2], alone)
    assert table["sectional_curvature"].nunique() == 3


def test_steps_that_span_no_plane(tmp_path: Path) -> None:
    """Straight on, not at all, and straight back."""
    start, end = walk(2, dtype=torch.float64)
    ahead = {name: 2 * end[name] - start[name] for name in NAMES}
    table, failures = planes(write_walk(tmp_path / "run", [start, end, ahead, ahead, end]))
    assert failures == []
    assert table["sectional_curvature"].isna().tolist() == [True, True, True]
    assert table["cosine"].tolist()[0] == pytest.approx(1)
    assert table["cosine"].isna().tolist() == [False, True, True]
    length = float((flat(end) - flat(start)).norm())
    np.testing.assert_allclose(table[["length_in", "length_out"]], [[length] * 2, [length, 0], [0, length]], rtol=1e-12)
    back, _ = planes(write_walk(tmp_path / "back", [start, end, start]))
    assert (back["cosine"][0], math.isnan(back["sectional_curvature"][0])) == (pytest.approx(-1), True)


@pytest.mark.parametrize("write", [write_truncated, write_not_finite])
def test_a_file_that_is_no_use_is_said_and_passed_over(tmp_path: Path, write: object) -> None:
    run = walk()
    folder = write_walk(tmp_path / "run", run)
    write(folder / "step_2.pt")  # type: ignore[operator]
    table, failures = planes(folder)
    assert table[["before", "step", "after"]].values.tolist() == [[10, 30, 40]]
    assert len(failures) == 1
    assert failures[0].startswith(f"{folder}/step_2.pt")
    u, v = flat(run[3]) - flat(run[1]), flat(run[4]) - flat(run[3])
    wanted = sectional(truth_at(run[3], folder / "data.npz"), u, v)
    assert table["sectional_curvature"][0] == pytest.approx(wanted, rel=1e-9)


def test_where_the_third_is_no_use_that_is_said_and_not_misuse(tmp_path: Path) -> None:
    folder = write_walk(tmp_path / "run", walk(3))
    write_truncated(folder / "step_1.pt")
    table, failures = planes(folder)
    assert (len(table), list(table.columns), len(failures)) == (0, list(COLUMNS), 1)


def test_nothing_pickled_is_run(tmp_path: Path) -> None:
    folder = write_walk(tmp_path / "run", walk(3))
    write_malicious(folder / "step_70.pt", tmp_path / "marker")
    table, failures = planes(folder)
    assert (len(table), len(failures), (tmp_path / "marker").exists()) == (1, 1, False)
    assert "holds no named weights" in failures[0]


@pytest.mark.parametrize(("step", "between"), [(90, 2), (-5, 0)])
def test_another_size_is_said(tmp_path: Path, step: int, between: int) -> None:
    folder = write_walk(tmp_path / "run", walk(3))
    write_checkpoint(folder / "other.pt", widths=(6, 4, 3), step=step)
    table, failures = planes(folder)
    assert len(table) == 1
    assert failures == [f"{folder}/step_{between}.pt has neighbours of another shape; give the checkpoints of one run"]


def test_weights_without_a_loss_are_said(tmp_path: Path) -> None:
    run = walk(4, dtype=torch.float64)
    run[1] = {name: 1e100 * t for name, t in run[1].items()}
    table, failures = planes(write_walk(tmp_path / "run", run, loss="mse"))
    assert table["step"].tolist() == [20]
    assert len(failures) == 1
    assert "at these weights" in failures[0]


def test_a_step_that_overflows_is_not_the_end(tmp_path: Path) -> None:
    run = walk(6, dtype=torch.float64)
    run[1] = {name: 1e200 * t for name, t in run[1].items()}
    table, _ = planes(write_walk(tmp_path / "run", run))
    assert table["step"].tolist()[-2:] == [30, 40]


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_than_three_are_misuse(tmp_path: Path, count: int) -> None:
    wanted = "^a plane takes three checkpoints of one run; give more of them$"
    with pytest.raises(Misuse, match=wanted):
        planes(write_walk(tmp_path / "run", walk(count)))
    with pytest.raises(Misuse, match=r"^no path was given; give a directory of checkpoints, or three checkpoint files"):
        planes()


def test_a_gpu_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match=r"^--device cuda but torch sees 0 GPU"):
        planes_of_steps([write_walk(tmp_path / "run", walk(3))], SAID, Arithmetic("float64", "cuda"))


def test_the_same_number_of_weights_in_another_shape_is_said(tmp_path: Path) -> None:
    """3-8-1 and 3-2-8-1 have 41 each."""
    for step, widths in ((0, (3, 8, 1)), (1, (3, 8, 1)), (2, (3, 2, 8, 1))):
        write_checkpoint(tmp_path / f"step_{step}.pt", widths=widths, step=step)
    np.savez(tmp_path / "data.npz", x=np.ones((4, 3)), y=np.ones((4, 1)))
    table, failures = planes(tmp_path, data=str(tmp_path / "data.npz"), loss="mse", activation="relu")
    assert len(table) == 0
    assert failures == [f"{tmp_path}/step_1.pt has neighbours of another shape; give the checkpoints of one run"]
