"""Work is a set difference: what is stored is never computed again, whatever the files are called."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scalecurv.analysis import Request
from scalecurv.checkpoints import common_task as common_task_module
from scalecurv.checkpoints import task as task_module
from scalecurv.checkpoints.task import Arithmetic
from scalecurv.cli.dry_run import describe
from scalecurv.measures import measures_named
from scalecurv.store.reader import read_store
from scalecurv.sweeps import work as sweep_module
from scalecurv.sweeps.execute import execute
from scalecurv.sweeps.work import Sweep, Work, find_work
from tests.runs import carry_out, checkpoints_of, computed, gradient_sweep, rows_of, write_checkpoint, write_data


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return gradient_sweep(tmp_path)


def name(path: str) -> str:
    return Path(path).name


def names(work: Work) -> list[str]:
    return [Path(path).name for path in work.todo]


def test_all_is_to_do_in_the_order_of_the_names_then_nothing_is(sweep: Sweep) -> None:
    work = find_work(sweep)
    assert names(work) == ["step_0.pt", "step_1.pt", "step_2.pt"]
    assert [str(path) for path in work.found] == list(work.todo)
    assert not sweep.store.exists()
    assert computed(carry_out(sweep)) == ["gradient"] * 3
    again = find_work(sweep)
    assert (again.todo, len(again.found), again.known) == ((), 3, read_store(sweep.store).stored)
    before = sorted((sweep.store / "parts").iterdir())
    execute(sweep, again, lambda outcome: pytest.fail("there was nothing to do"))
    assert sorted((sweep.store / "parts").iterdir()) == before


def test_the_driver_looks_once(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    """One listing, one look at each file, and one reading of the first checkpoint, whose cost is told after it."""
    carry_out(replace(sweep, request=request(("rank",))))
    looks: list[str] = []

    def noted(module: Any, name: str) -> None:
        look = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *args, **more: looks.append(name) or look(*args, **more))

    noted(common_task_module, "discover")
    noted(sweep_module, "stamp_of")
    noted(task_module, "load")
    assert "at most 8 Hessian products" in "".join(describe(sweep, find_work(sweep)))
    assert looks == ["discover", *["stamp_of"] * 3, "load"]


@pytest.mark.parametrize(
    ("change", "measures"),
    [
        (lambda s: replace(s, request=replace(s.request, seed=1)), ["gradient", "moments"]),
        (lambda s: replace(s, arithmetic=Arithmetic(dtype="float64")), ["gradient", "moments"]),
        (lambda s: replace(s, arithmetic=Arithmetic(dtype="float32")), []),
        (lambda s: replace(s, request=request(("gradient", "moments"), rtol=0.5)), []),
        (lambda s: replace(s, request=request(("gradient", "moments"), rtol=0.001)), ["moments"]),
        (lambda s: replace(s, request=request(("gradient", "moments", "spectrum"))), ["spectrum"]),
        (lambda s: replace(s, request=request(("moments",))), []),
        (lambda s: replace(s, given={"loss": "mse"}), ["gradient", "moments"]),
        (lambda s: replace(s, given={"reduction": "sum"}), ["gradient", "moments"]),
        (lambda s: replace(s, given={"activation": "tanh"}), ["gradient", "moments"]),
        (lambda s: replace(s, arithmetic=Arithmetic(batch_size=7)), []),
    ],
    ids=[
        "seed",
        "dtype",
        "own dtype",
        "looser",
        "sharper",
        "more",
        "fewer",
        "loss",
        "reduction",
        "activation",
        "batch size",
    ],
)
def test_what_was_not_asked_before_is_all_that_is_done(
    tmp_path: Path, change: Callable[[Sweep], Sweep], measures: list[str]
) -> None:
    sweep = replace(gradient_sweep(tmp_path, steps=[0]), request=request(("gradient", "moments")))
    carry_out(sweep)
    changed = change(sweep)
    assert computed(carry_out(changed)) == measures
    assert find_work(changed).todo == find_work(sweep).todo == ()


def request(names: tuple[str, ...], rtol: float = 0.01) -> Request:
    return Request(measures_named(names, rtol=rtol, max_matvecs=32))


def test_other_data_is_another_task(sweep: Sweep) -> None:
    carry_out(sweep)
    write_data(sweep.checkpoints[0] / "data.npz", num_classes=2)
    assert computed(carry_out(sweep)) == ["gradient"] * 3
    assert len(read_store(sweep.store).tables["tasks"]) == 2


def test_data_beside_the_checkpoints_are_none_of_them(sweep: Sweep) -> None:
    run = sweep.checkpoints[0]
    arrays = np.load(run / "data.npz")
    torch.save({name: torch.from_numpy(arrays[name]) for name in ("x", "y")}, run / "data.pt")
    sweep = replace(sweep, given={"data": run / "data.pt"})
    assert [outcome.step for outcome in carry_out(sweep)] == [0, 1, 2]


def test_a_touched_file_is_read_again_and_nothing_is_computed(sweep: Sweep) -> None:
    carry_out(sweep)
    rows = rows_of(sweep.store)
    os.utime(sweep.checkpoints[0] / "step_1.pt", ns=(1, 1))
    assert names(find_work(sweep)) == ["step_1.pt"]
    (outcome,) = carry_out(sweep)
    assert (outcome.status, outcome.records, outcome.total_matvecs) == ("ok", (), 0)
    assert find_work(sweep).todo == ()
    assert rows_of(sweep.store).equals(rows)


def test_other_weights_under_the_same_name_are_work(sweep: Sweep) -> None:
    carry_out(sweep)
    write_checkpoint(sweep.checkpoints[0] / "step_1.pt", seed=99, step=1)
    assert computed(carry_out(sweep)) == ["gradient"]
    shown, kept = checkpoints_of(sweep.store)["fingerprint"], rows_of(sweep.store)["fingerprint"]
    assert (shown.nunique(), kept.nunique()) == (3, 4)  # what was found at the old weights stays
    assert set(shown) < set(kept)


def test_rehash_trusts_no_stamp(sweep: Sweep) -> None:
    """Weights that were replaced behind the same size, time and inode are seen."""
    carry_out(sweep)
    path = sweep.checkpoints[0] / "step_1.pt"
    (sweep.store / "other").mkdir()
    stat, other = path.stat(), write_checkpoint(sweep.store / "other" / path.name, seed=99, step=1).read_bytes()
    assert len(other) == stat.st_size
    path.write_bytes(other)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert find_work(sweep).todo == ()
    careful = replace(sweep, rehash=True)
    assert len(find_work(careful).todo) == 3
    assert [(o.step, len(o.records)) for o in carry_out(careful)] == [(0, 0), (1, 1), (2, 0)]


def test_a_renamed_file_keeps_its_numbers_and_a_new_one_is_work(sweep: Sweep) -> None:
    carry_out(sweep)
    run = sweep.checkpoints[0]
    (run / "step_1.pt").rename(run / "moved.pt")
    write_checkpoint(run / "step_3.pt", seed=3, step=3)
    assert names(find_work(sweep)) == ["step_3.pt"]
    assert computed(carry_out(sweep)) == ["gradient"]
    rows = checkpoints_of(sweep.store)
    assert dict(zip(map(name, rows["path"]), rows["step"], strict=True)) == {
        "moved.pt": 1,
        "step_0.pt": 0,
        "step_2.pt": 2,
        "step_3.pt": 3,
    }
    assert find_work(sweep).todo == ()
