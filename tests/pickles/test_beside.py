"""What is pickled beside tensors never decides: plain data are kept, and all else is a placeholder."""

import argparse
import collections
import datetime
import enum
import functools
import pathlib
import pickle
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from scalecurv.checkpoints.load import load
from scalecurv.errors import CheckpointError
from scalecurv.pickles.placeholder import Global, Placeholder
from scalecurv.pickles.read import read_content
from tests.pickles.test_same_as_torch import savers

STATE = {"0.weight": torch.linspace(-1, 1, 12).reshape(4, 3), "0.bias": torch.linspace(0, 1, 4)}


class Config(dict[str, Any]):
    """A dict of a class of one's own, with attributes."""


class Settings:
    """An instance of a class of one's own, with slots."""

    __slots__ = ("rate",)

    def __init__(self, rate: float):
        self.rate = rate


class Colour(enum.Enum):
    RED = 1


def function(x: float) -> float:
    return x


PLAIN: dict[str, tuple[Any, Any]] = {
    "Namespace": (argparse.Namespace(lr=0.1), {"lr": 0.1}),
    "SimpleNamespace": (types.SimpleNamespace(a=[1]), {"a": [1]}),
    "Counter": (collections.Counter("aab"), {"a": 2, "b": 1}),
    "OrderedDict": (collections.OrderedDict(a=1), {"a": 1}),
    "deque": (collections.deque([1, 2], maxlen=3), [1, 2]),
    "defaultdict": (collections.defaultdict(list, {"a": [1]}), {"a": [1]}),
    "set": ({1, 2}, {1, 2}),
    "frozenset": (frozenset((1, "a")), frozenset((1, "a"))),
    "complex": (1 + 2j, 1 + 2j),
    "bytes": (b"a\xff", b"a\xff"),
    "bytearray": (bytearray(b"ab"), b"ab"),
    "Path": (pathlib.PurePosixPath("/a/b"), "/a/b"),
    "a path of Windows": (pathlib.PureWindowsPath("c:\\a"), "c:\\a"),
    "Size": (torch.Size([2, 3]), torch.Size([2, 3])),
    "dtype": (torch.bfloat16, torch.bfloat16),
    "device": (torch.device("cuda:1"), "cuda:1"),
    "a dict of one's own": (Config(a=1), {"a": 1}),
    "keys": ({(1, "a"): 1, 2.5: 2, None: 3, b"a": 4}, {(1, "a"): 1, 2.5: 2, None: 3, b"a": 4}),
}
OTHERS: dict[str, Any] = {
    "an instance": Settings(0.1),
    "a member of an enum": Colour.RED,
    "a partial function": functools.partial(nn.Linear, 2, bias=False),
    "a date": datetime.datetime(2024, 1, 2),
    "a bound method": nn.Linear(1, 1).forward,
    "an optimizer": torch.optim.Adam(nn.Linear(1, 1).parameters()),
    "a scheduler": torch.optim.lr_scheduler.StepLR(torch.optim.SGD(nn.Linear(1, 1).parameters(), 0.1), 3),
    "a state of random numbers": np.random.RandomState(0),
    "a slice": slice(1, 2),
    "a record": np.zeros(2, [("a", "f4")])[0],
}
GLOBALS: dict[str, Any] = {"a class": nn.MSELoss, "a function": function, "a built-in": len, "a type": int}


def test_plain_data_are_kept(tmp_path: Path) -> None:
    content = {name: value for name, (value, _) in PLAIN.items()}
    for save in savers():
        save(content, tmp_path / "x.pt")
        found = read_content(tmp_path / "x.pt")
        assert {name: found[name] for name in PLAIN} == {name: wanted for name, (_, wanted) in PLAIN.items()}


def test_all_else_is_a_placeholder(tmp_path: Path) -> None:
    for i, save in enumerate(savers()):
        slotted = not 3 <= i < 5  # protocols 0 and 1 cannot write slots
        content = {name: value for name, value in {**OTHERS, **GLOBALS}.items() if slotted or name != "an instance"}
        save(content, tmp_path / "x.pt")
        found = read_content(tmp_path / "x.pt")
        assert all(type(found[name]) is Placeholder for name in OTHERS if name in content)
        assert all(type(found[name]) is Global for name in GLOBALS)
        if slotted:
            assert found["an instance"].name.endswith(".Settings")
            assert found["an instance"].attributes == {"rate": 0.1}


def test_arrays_of_objects_records_and_dates_are_told_apart(tmp_path: Path) -> None:
    odd = [np.array([1, "a", None], object), np.zeros(2, [("a", "f4")]), np.array(["2020-01-01"], "M8[D]")]
    for save in savers():
        save({"odd": odd, "state": STATE}, tmp_path / "x.pt")
        found = read_content(tmp_path / "x.pt")
        assert all(type(array[0]) is Placeholder if type(array) is np.ndarray else type(array) is Placeholder
                   for array in found["odd"])  # fmt: skip
        assert torch.equal(found["state"]["0.weight"], STATE["0.weight"])


def test_the_weights_are_read_whatever_lies_beside_them(tmp_path: Path) -> None:
    alone = tmp_path / "step_0.pt"
    torch.save(STATE, alone)
    beside = {**{name: value for name, (value, _) in PLAIN.items()}, **OTHERS, **GLOBALS, "loss": nn.MSELoss()}
    for save in (save for i, save in enumerate(savers()) if not 3 <= i < 5):
        save({"state_dict": STATE, "hyper_parameters": beside, "global_step": np.int64(5)}, tmp_path / "x.ckpt")
        found = load(tmp_path / "x.ckpt")
        assert found.fingerprint == load(alone).fingerprint
        assert found.step == 5


def test_a_pair_of_states_and_arrays_by_name(tmp_path: Path) -> None:
    optimizer = torch.optim.Adam([nn.Parameter(torch.ones(2))]).state_dict()
    torch.save((STATE, optimizer), tmp_path / "x.pt")
    assert load(tmp_path / "x.pt").tensors.keys() == STATE.keys()
    (tmp_path / "y.pt").write_bytes(pickle.dumps({name: tensor.numpy() for name, tensor in STATE.items()}))
    assert load(tmp_path / "y.pt").fingerprint == load(tmp_path / "x.pt").fingerprint


def test_an_object_at_the_top_is_named(tmp_path: Path) -> None:
    torch.save(Colour.RED, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=rf"x.pt holds a {__name__}.Colour; save model.state_dict\(\)$"):
        load(tmp_path / "x.pt")
