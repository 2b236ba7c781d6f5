"""Tasks: an identity that only the mathematics changes, and Problems that are the original model's."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from scalecurv.checkpoints.load import Checkpoint, load
from scalecurv.checkpoints.problem_file import ProblemSpec
from scalecurv.checkpoints.task import Arithmetic, Task, compute_dtype
from scalecurv.errors import CheckpointError, Misuse
from scalecurv.problem.risk import loss_and_gradient

RNG = np.random.default_rng(0)
X, TARGETS, CLASSES = RNG.normal(size=(6, 4)), RNG.normal(size=(6, 3)), np.array([0, 1, 2, 0, 1, 2])
SPEC = ProblemSpec(Path("/data/d.npz"), "mse", "mean", "mlp", "tanh")


def read(folder: Path, name: str = "d.npz", x: np.ndarray = X, y: np.ndarray = TARGETS, **given: Any) -> Task:
    np.savez(folder / name, x=x, y=y)
    return Task.read(replace(SPEC, data=folder / name, **given))


def mlp(inputs: int = 4, dtype: torch.dtype = torch.float64) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(inputs, 5), nn.Tanh(), nn.Linear(5, 3)).to(dtype)


def checkpoint(folder: Path, model: nn.Module) -> Checkpoint:
    torch.save({"model": model.state_dict()}, folder / "step_1.pt")
    return load(folder / "step_1.pt")


LOSSES: dict[tuple[str, str], Callable[[Tensor, Tensor], Tensor]] = {
    ("mse", "mean"): lambda f, y: functional.mse_loss(f, y, reduction="sum") / (2 * len(y)),
    ("mse", "sum"): lambda f, y: functional.mse_loss(f, y, reduction="sum") / 2,
    ("cross_entropy", "mean"): functional.cross_entropy,
    ("cross_entropy", "sum"): lambda f, y: functional.cross_entropy(f, y, reduction="sum"),
}


@pytest.fixture(scope="module", name="nets")
def _nets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("nets")
    source = "from torch import nn\ndef net():\n    return nn.Sequential(nn.Linear(4, 3))\nother = nn.Identity\n"
    (folder / "task_net.py").write_text(source)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder / "task_net.py"


@pytest.mark.usefixtures("nets")
@pytest.mark.parametrize(("loss", "reduction"), LOSSES)
@pytest.mark.parametrize("model", ["mlp", "task_net:net"])
def test_the_problem_is_the_original_models(tmp_path: Path, loss: str, reduction: str, model: str) -> None:
    original = mlp() if model == "mlp" else nn.Sequential(nn.Linear(4, 3)).double()
    y = TARGETS if loss == "mse" else CLASSES
    given = {"model": model, "activation": "tanh" if model == "mlp" else None}
    here = read(tmp_path, y=y, loss=loss, reduction=reduction, **given)
    problem, _ = here.at(checkpoint(tmp_path, original), Arithmetic(batch_size=4))
    expected = LOSSES[loss, reduction](original(torch.from_numpy(X)), torch.from_numpy(y))
    expected.backward()
    value, gradient = loss_and_gradient(problem)
    assert problem.dtype == torch.float64
    assert value == pytest.approx(expected.item(), rel=1e-12)
    slopes = torch.cat([p.grad.flatten() for p in original.parameters()])
    torch.testing.assert_close(gradient, slopes, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["images", "bytes", "bools"])
def test_images_and_whole_numbers_become_vectors_of_floats(tmp_path: Path, kind: str) -> None:
    x = RNG.integers(0, 2 if kind == "bools" else 256, size=(6, 2, 3))
    x = x.astype({"images": np.float64, "bytes": np.uint8, "bools": bool}[kind])
    original = mlp(6)
    problem, _ = read(tmp_path, x=x).at(checkpoint(tmp_path, original), Arithmetic())
    flat = torch.from_numpy(x.reshape(6, 6).astype(np.float64))
    expected = LOSSES["mse", "mean"](original(flat), torch.from_numpy(TARGETS))
    assert loss_and_gradient(problem)[0] == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize(
    ("own", "asked", "used"),
    [
        (torch.float64, None, "float64"),
        (torch.float32, None, "float32"),
        (torch.bfloat16, None, "float32"),
        (torch.float16, None, "float32"),
        (torch.float64, "float32", "float32"),
        (torch.bfloat16, "float64", "float64"),
    ],
)
def test_the_dtype_of_products(tmp_path: Path, own: torch.dtype, asked: str | None, used: str) -> None:
    original = checkpoint(tmp_path, mlp(dtype=own))
    problem, _ = read(tmp_path).at(original, Arithmetic(dtype=asked))
    assert compute_dtype(original, Arithmetic(dtype=asked)) == used
    assert problem.dtype == getattr(torch, used)
    expected = torch.cat([t.flatten() for t in original.tensors.values()]).to(problem.dtype)
    assert torch.equal(problem.theta, expected)


@pytest.mark.usefixtures("nets")
def test_the_identity_changes_with_every_field_of_the_mathematics(tmp_path: Path) -> None:
    other = X.copy()
    other[0, 0] = np.nextafter(other[0, 0], 9)
    tasks = [
        read(tmp_path),
        read(tmp_path, loss="cross_entropy"),
        read(tmp_path, reduction="sum"),
        read(tmp_path, activation="relu"),
        read(tmp_path, model="task_net:net", activation=None),
        read(tmp_path, model="task_net:other", activation=None),
        read(tmp_path, "other.npz", x=other),
        read(tmp_path, "float.npz", x=X.astype(np.float32)),
        read(tmp_path, "images.npz", x=X.reshape(6, 2, 2)),
        read(tmp_path, "targets.npz", y=TARGETS[::-1]),
    ]
    assert len({one.id for one in tasks}) == len(tasks)
    assert all(len(one.id) == 16 for one in tasks)


def test_the_identity_does_not_change_with_anything_else(tmp_path: Path) -> None:
    torch.save({"y": torch.from_numpy(TARGETS), "x": torch.from_numpy(X)}, tmp_path / "same.pt")
    same = Task.read(replace(SPEC, data=tmp_path / "same.pt"))
    assert same.id == read(tmp_path).id  # where it lies, in which format


def test_an_edited_factory_is_another_model(tmp_path: Path, nets: Path) -> None:
    before = read(tmp_path, model="task_net:net", activation=None).id
    assert read(tmp_path, model="task_net:net", activation=None).id == before
    nets.write_text(nets.read_text() + "# another comment\nunused = 1\n")
    assert read(tmp_path, model="task_net:net", activation=None).id == before
    nets.write_text(nets.read_text().replace("nn.Linear(4, 3)", "nn.Linear(4, 3), nn.Tanh()"))
    assert read(tmp_path, model="task_net:net", activation=None).id != before


def test_the_row_of_a_task(tmp_path: Path) -> None:
    here = read(tmp_path, activation=None, model="pkg.mod:net")
    assert here.describe(3) == {
        "data_path": str(tmp_path / "d.npz"),
        "data_fingerprint": here.data.fingerprint,
        "loss": "mse",
        "reduction": "mean",
        "model": "pkg.mod:net",
        "activation": "",
        "num_data": 6,
        "num_outputs": 3,
        "split": "",
        "num_available": 6,
        "sample_seed": -1,
        "weight_decay": 0.0,
        "weights": "",
        "ignored": "",
    }


@pytest.mark.parametrize("shape", [(6, 5), (6, 2, 3), (6, 1)])
def test_data_of_another_width(tmp_path: Path, shape: tuple[int, ...]) -> None:
    x = np.ones(shape)
    here = checkpoint(tmp_path, mlp())
    with pytest.raises(Misuse) as caught:
        read(tmp_path, x=x).at(here, Arithmetic())
    width = x[0].size
    expected = (
        f"{here.path} takes 4 inputs but x has {width} a sample, shape {shape}; give the data that it was trained on"
    )
    assert str(caught.value) == expected


def test_targets_of_another_width(tmp_path: Path) -> None:
    with pytest.raises(Misuse) as caught:
        read(tmp_path, y=TARGETS[:, :2]).at(checkpoint(tmp_path, mlp()), Arithmetic())
    expected = "y has shape (6, 2) but the model has 3 outputs; give y of shape (N, 3)"
    assert str(caught.value) == expected


def test_a_checkpoint_of_another_kind(tmp_path: Path) -> None:
    here = checkpoint(tmp_path, nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3)))
    with pytest.raises(CheckpointError) as caught:
        read(tmp_path).at(here, Arithmetic())
    refused = "1.weight of shape (3,) belongs to no plain MLP; give --model pkg.mod:factory"
    assert str(caught.value).startswith(f"{here.path}: {refused}")
