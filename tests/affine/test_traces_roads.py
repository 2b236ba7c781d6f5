"""Traces whatever the loss, the reduction, the batches, the memory, the dtype, the form of the data."""

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from scalecurv import trace
from scalecurv.affine import traces
from scalecurv.affine.traces import output_probe_terms, sample_traces, tensor_traces
from scalecurv.mlp import trace as closed_form
from scalecurv.mlp.layers import listed_mlp
from scalecurv.problem.losses.named import named_loss
from scalecurv.problem.problem import Problem
from tests.affine.nets import NUM_DATA, net
from tests.affine.oracle import dense_terms
from tests.affine.test_traces import agree, off

CLASS_WEIGHTS = torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64)
WEIGHTED = nn.CrossEntropyLoss(weight=CLASS_WEIGHTS, ignore_index=1, label_smoothing=0.1)


def saddle(f: Tensor, y: Tensor) -> Tensor:
    """A loss that is not convex, of all outputs together."""
    return (f[:, 0] * f[:, 1:].sum(1)).sin() * 5 + (f - y[:, None]).pow(4).sum(1) / 50


def mean_of_signs(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Return the mean of the terms over all 2^D patterns of signs, the same for every sample."""
    found, names = [], list(problem.space.shapes)
    for pattern in product((-1.0, 1.0), repeat=problem.num_outputs):
        column = torch.tensor(pattern, dtype=torch.float64).repeat(problem.num_data)[:, None]
        monkeypatch.setattr(traces, "probes", lambda *given, column=column, **how: column)
        found.append(output_probe_terms(problem, names, 0, 0))
    return np.mean(found, axis=0)


def test_every_loss_and_the_mean_of_its_output_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    for loss in ("mse", "cross_entropy", WEIGHTED, saddle):
        for name in ("cnn", "vit", "tied tokens"):
            if name == "tied tokens" and loss is not saddle:
                continue
            given = net(name)
            targets = torch.arange(NUM_DATA) % 3 if loss is not saddle else torch.linspace(-1, 1, NUM_DATA).double()
            targets = given.targets("mse") if loss == "mse" else targets
            if name == "tied tokens":
                given.model.forward = lambda x, whole=given.model.forward: whole(x)[:, 0, :3]  # type: ignore[assignment]
            point = Problem(given.model, (given.x, targets), loss)
            wanted = dense_terms(point)
            assert agree(point, wanted=wanted), (name, loss)
            assert off(torch.from_numpy(mean_of_signs(point, monkeypatch)), wanted) < 1e-12, (name, loss)
    assert bool((wanted < 0).any())  # the last loss has negative curvature, so that signs were needed


def test_batches_memory_reduction_decay_and_blocks() -> None:
    for name in ("cnn", "vit", "tied tokens", "lstm"):
        for options in (
            {"batch_size": 4},
            {"memory": 1},
            {"memory": 40_000},
            {"reduction": "sum", "weight_decay": 0.3},
            {"params": "weight", "weight_decay": 0.1, "batch_size": 5},
        ):
            assert agree(net(name).problem("mse", **options), wanted=None), (name, options)


def test_a_stream_that_is_read_again() -> None:
    given = net("resnet batch norm")
    loader = DataLoader(TensorDataset(given.x, given.targets("mse")), batch_size=2)
    held, read = given.problem("mse"), Problem(given.model, loader, "mse", memory=1000)
    with pytest.raises(Exception, match="memory"):
        read.rows.whole()
    names = list(held.space.shapes)
    assert off(tensor_traces(read, names), tensor_traces(held, names)) < 1e-12
    assert off(sample_traces(read), sample_traces(held)) < 1e-12


def test_single_precision() -> None:
    for name in ("cnn", "resnet batch norm", "vit", "tied tokens", "bag of words"):
        point = net(name).problem("mse", dtype=torch.float32)
        names = list(point.space.shapes)
        wanted = dense_terms(net(name).problem("mse"))
        assert off(tensor_traces(point, names), wanted.sum(0)) < 1e-5, name
        assert off(sample_traces(point), wanted.sum(1)) < 1e-5, name


def test_one_sample() -> None:
    given = net("cnn")
    assert agree(Problem(given.model, (given.x[:1], given.targets("mse")[:1]), "mse"))


def test_names_in_any_order_and_what_is_known_is_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    point = net("tied tokens").problem("mse")
    names = list(point.space.shapes)
    wanted = tensor_traces(point, names)
    monkeypatch.setattr(traces, "_of_piece", None)
    assert torch.equal(tensor_traces(point, names[::-1]), wanted.flip(0))
    assert torch.equal(tensor_traces(point, names[1:3]), wanted[1:3])
    assert len(tensor_traces(point, [])) == 0
    assert off(sample_traces(point).sum(), wanted.sum()) < 1e-12


def test_a_perceptron_by_formula_and_in_closed_form() -> None:
    for name in ("mlp relu", "mlp leaky", "mlp in place", "mlp tanh"):
        for options in ({}, {"batch_size": 4, "weight_decay": 0.2}, {"memory": 1, "reduction": "sum"}):
            point = net(name).problem("cross_entropy", **options)
            mlp = listed_mlp(point)
            assert mlp is not None
            names = list(point.space.shapes)
            by_layer = tensor_traces(point, names).view(-1, 2).sum(1)
            assert off(by_layer, closed_form.layer_traces(point, mlp)) < 1e-12
            assert off(closed_form.sample_traces(point, mlp), sample_traces(point)) < 1e-12
            wanted = closed_form.output_probe_terms(point, mlp, 5, 1)
            found = output_probe_terms(point, names, 5, 1).reshape(NUM_DATA, -1, 2).sum(2)
            assert np.abs(found - wanted).max() < 1e-12 * wanted.max()


def test_output_probes_write_no_matrix_of_all_outputs() -> None:
    """A loss gives F s from D numbers a sample; F itself is the oracle."""
    f = torch.randn(3, 12, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    s, words = f.flip(0).sign(), torch.arange(9).reshape(3, 3) % 4
    every = {"cross_entropy": words, "mse": f + 1, "logistic": (f > 0).double()}
    for name, y in every.items():
        loss = named_loss(name).on((3, 4), y)
        targets = loss.targets(y)
        assert loss.mixed is not None
        mixed = loss.mixed(f, targets, s)
        assert loss.factor is not None
        factor, units = loss.factor(f, targets), torch.eye(12, dtype=torch.float64)
        columns = torch.stack([loss.mixed(f, targets, units[[k] * 3]) for k in range(12)], 2)
        assert (columns @ columns.mT - factor @ factor.mT).abs().max() < 1e-14, name
        assert ((columns @ s[:, :, None])[:, :, 0] - mixed).abs().max() < 1e-14, name


def test_many_outputs_of_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scalecurv.problem.losses.classes.Layout.block_diagonal", None)
    words = torch.randint(40, (6, 20), generator=torch.Generator().manual_seed(1))
    model = nn.Sequential(nn.Embedding(40, 3), nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 40)).double()
    point = Problem(model, (words, words), "cross_entropy")
    assert "output probes" in trace(point, max_matvecs=200, rtol=0.1).method
