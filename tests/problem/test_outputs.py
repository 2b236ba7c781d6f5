"""Models of several inputs, and models that return more than their outputs, against a dense oracle of plain calls."""

import json
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scalecurv import Misuse, Problem, trace
from scalecurv.operators.hessian import HessianOperator
from scalecurv.problem.graphs import backend_of
from scalecurv.problem.nonfinite import locate_nonfinite
from scalecurv.problem.outputs import part_of, places_of_rows
from scalecurv.problem.preflight import preflight
from tests.dense import dense

N = 5
RNG = torch.Generator().manual_seed(0)
X = torch.randn(N, 4, dtype=torch.float64, generator=RNG)
Z = torch.randn(N, 2, dtype=torch.float64, generator=RNG)
Y = torch.randint(0, 3, (N,), generator=RNG)


class Out(OrderedDict):
    """An output object as transformers has it: fields by name and by attribute."""

    __getattr__ = OrderedDict.__getitem__


@dataclass
class Fields:
    loss: Tensor | None
    hidden: Tensor
    logits: Tensor


@dataclass
class Scores:
    loss: Tensor
    scores: Tensor


Pair = namedtuple("Pair", "scores hidden")


class Net(nn.Module):
    """Two layers; `end(f, h)` makes what is returned of the outputs f and the hidden neurons h."""

    def __init__(self, end: Callable[[Tensor, Tensor], Any] = lambda f, h: f):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.head, self.end = nn.Linear(4, 3), nn.Linear(3, 3), end
        self.double()

    def forward(self, x: Tensor) -> Any:
        h = torch.tanh(self.first(x))
        return self.end(self.head(h), h)


RETURNED: dict[str, tuple[str, Callable[[Tensor, Tensor], Any]]] = {
    "a tensor": ("", lambda f, h: f),
    "an object": (".logits", lambda f, h: Out(hidden=h, logits=f)),
    "a dict": (".logits", lambda f, h: {"hidden": h, "logits": f}),
    "a dataclass": (".logits", lambda f, h: Fields(None, h, f)),
    "a dataclass without logits": (".scores", lambda f, h: Scores(f.sum(), f)),
    "a dict without logits": ("['scores']", lambda f, h: {"loss": f.sum(), "scores": f, "hidden": h}),
    "a tuple": ("[0]", lambda f, h: (f, h)),
    "a named tuple": ("[0]", lambda f, h: Pair(f, h)),
    "(loss, logits)": ("[1]", lambda f, h: (f.sum(), f)),
    "(None, (logits, hidden))": ("[1][0]", lambda f, h: (None, (f, h))),
    "(classes, logits)": ("[1]", lambda f, h: [f.argmax(1), f]),
    "a state of two layers first": ("[1]", lambda f, h: (torch.stack([h, h]), f)),
    "a state of three layers first": ("[1]", lambda f, h: (torch.stack([h, h, h]), f)),
}


def test_outputs_are_found_and_their_place_is_said() -> None:
    truth = dense(Net(), X, Y, "cross_entropy")
    for name, (place, end) in RETURNED.items():
        problem = Problem(Net(end), (X, Y))
        preflight(problem)
        H = HessianOperator(problem).matmat(torch.eye(problem.num_params, dtype=torch.float64))
        torch.testing.assert_close(H, truth.hessian, rtol=1e-12, atol=1e-14)
        assert problem.output == place, name
        assert (f"output={place!r}" in repr(problem)) == bool(place), name
        assert (problem.output_shape, problem.num_outputs) == ((3,), 3), name
        json.dumps(problem.output)


def test_one_sample_is_enough_to_find_the_outputs() -> None:
    for name, (place, end) in RETURNED.items():
        assert Problem(Net(end), (X[:1], Y[:1])).output == place, name


def test_no_outputs_are_refused() -> None:
    for end in (lambda f, h: {"loss": f.sum()}, lambda f, h: (f.argmax(1),), lambda f, h: None, lambda f, h: [h[:0]]):
        with pytest.raises(
            Misuse, match=r"^the model returns (a \w+|None) without a tensor of floats that has one row"
        ):
            Problem(Net(end), (X, Y))


def test_outputs_that_move_are_refused() -> None:
    model = Net(lambda f, h: {"logits": f} if len(f) < 4 else {"scores": f})
    with pytest.raises(Misuse, match=r"^the model returns its outputs as .logits for some samples and not for others"):
        Problem(model, (X, Y))


def test_places_are_read_back() -> None:
    returned = {"a": (torch.zeros(2), {"b": torch.ones(2, 1), 3: torch.zeros(3)})}
    places = places_of_rows(returned, 2)
    assert places == ["['a'][0]", "['a'][1]['b']"]
    assert part_of(returned, places[1]) is returned["a"][1]["b"]
    assert part_of(returned, "['a'][5]", None) is None


class Two(nn.Module):
    """x and z to logits, as a model of two inputs, of one tuple or of one dict."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.x, self.z = nn.Linear(4, 3, dtype=torch.float64), nn.Linear(2, 3, dtype=torch.float64)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return torch.tanh(self.x(x)) * self.z(z)


class OneTuple(Two):
    def forward(self, pair: tuple[Tensor, Tensor]) -> Tensor:
        return super().forward(*pair)


class OneDict(Two):
    def forward(self, parts: dict[str, Tensor]) -> Tensor:
        return super().forward(parts["x"], parts["z"])


class Anything(Two):
    def forward(self, *parts: Tensor, **named: Tensor) -> Tensor:
        return super().forward(*parts, **named)


class Deep(Two):
    def forward(self, x: Tensor, others: tuple[dict[str, Tensor], ...]) -> Tensor:
        return super().forward(x, others[0]["z"])


class Optional(Two):
    """Takes labels and returns a loss too, as models of transformers do."""

    def forward(self, x: Tensor, z: Tensor, labels: Tensor | None = None) -> Any:
        f = super().forward(x, z)
        return f if labels is None else (nn.functional.cross_entropy(f, labels), f)


class Side(nn.Module):
    """The oracle: the two inputs side by side in one array."""

    def __init__(self) -> None:
        super().__init__()
        self.two = Two()

    def forward(self, both: Tensor) -> Tensor:
        return self.two(both[:, :4], both[:, 4:])


INPUTS: dict[str, tuple[Callable[[], nn.Module], Any]] = {
    "a tuple": (Two, (X, Z)),
    "a list": (Two, [X, Z]),
    "a dict": (Two, {"z": Z, "x": X}),
    "one tuple": (OneTuple, (X, Z)),
    "one dict": (OneDict, {"z": Z, "x": X}),
    "any tuple": (Anything, (X, Z)),
    "any dict": (Anything, {"z": Z, "x": X}),
    "a container in a tuple": (Deep, (X, ({"z": Z},))),
    "labels left out": (Optional, {"x": X, "z": Z}),
    "labels by name": (Optional, {"x": X, "z": Z, "labels": Y}),
    "labels in order": (Optional, (X, Z, Y)),
    "a part that is None": (Optional, (X, Z, None)),
}


def test_inputs_of_several_parts_reach_the_model() -> None:
    truth = dense(Side(), torch.cat([X, Z], 1), Y, "cross_entropy")
    for name, (model, x) in INPUTS.items():
        for options in ({}, {"batch_size": 2}):
            problem = Problem(model(), (x, Y), **options)  # type: ignore[arg-type]
            preflight(problem)
            H = HessianOperator(problem).matmat(torch.eye(problem.num_params, dtype=torch.float64))
            torch.testing.assert_close(H, truth.hessian, rtol=1e-12, atol=1e-14)
            assert trace(problem).value == pytest.approx(truth.trace(), rel=1e-12), name


def test_names_that_forward_does_not_take_are_refused() -> None:
    with pytest.raises(Misuse, match=r"^x has the parts x, z, w, and forward takes no w; it takes x, z: leave the oth"):
        Problem(Two(), ({"x": X, "z": Z, "w": Z}, Y))
    with pytest.raises(Misuse, match=r"^the model does not take x of shape \{\['x'\]: \(5, 4\) float64\}: TypeError: "):
        Problem(Two(), ({"x": X}, Y))


def test_no_model_writes_to_a_part_of_the_inputs() -> None:
    class Writes(Two):
        def forward(self, x: Tensor, z: Tensor) -> Tensor:
            return super().forward(x.mul_(2), z)

    problem = Problem(Writes(), ((X.clone(), Z), Y))
    backend_of(problem)
    assert torch.equal(problem.x.leaves[0], X)


def test_a_nan_inside_a_container_is_located() -> None:
    model = Net(lambda f, h: {"hidden": h / 0 * 0, "logits": f / 0 * 0})
    place = locate_nonfinite(Problem(model, (X, Y)))
    assert place == "the output of the model (Net) at sample 0 (batch 0)"


def test_targets_of_several_parts_go_to_a_loss_of_ones_own() -> None:
    def loss(f: Tensor, y: dict[str, Tensor]) -> Tensor:
        return ((f - y["mean"]) ** 2).sum(1) / 2 * y["weight"]

    y = {"mean": X[:, :3], "weight": torch.ones(N, dtype=torch.float64)}
    H = HessianOperator(Problem(Net(), (X, y), loss)).matmat(torch.eye(27, dtype=torch.float64))
    torch.testing.assert_close(H, dense(Net(), X, X[:, :3], "mse").hessian, rtol=1e-10, atol=1e-12)
    with pytest.raises(Misuse, match=r"^y comes as several parts, .* and loss mse takes one array; give a function"):
        Problem(Net(), (X, y), "mse")
