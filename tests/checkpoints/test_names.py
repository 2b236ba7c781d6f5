"""Canonical names: without what wraps modules anywhere, and without prefixes that every name carries."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scalecurv.checkpoints.load import load
from scalecurv.checkpoints.names import INFIXES, PREFIXES, canonical_names, ignored, unwrapped
from scalecurv.errors import CheckpointError, Misuse

NAMES = ["0.weight", "0.bias", "2.weight", "head.bias"]
WRAPPERS = sorted(f"{infix}." for infix in INFIXES)


@settings(derandomize=True, deadline=None, max_examples=50, database=None)
@given(st.lists(st.sampled_from([*PREFIXES, *WRAPPERS]), max_size=4))
def test_any_stack_of_wrappers_is_taken_off(stack: list[str]) -> None:
    wrapped = ["".join(stack) + name for name in NAMES]
    assert canonical_names(wrapped) == dict(zip(wrapped, NAMES, strict=True))


@settings(derandomize=True, deadline=None, max_examples=50, database=None)
@given(st.lists(st.lists(st.sampled_from(WRAPPERS), max_size=3), min_size=len(NAMES), max_size=len(NAMES)))
def test_modules_are_unwrapped_wherever_they_were_wrapped(stacks: list[list[str]]) -> None:
    """As FSDP and activation checkpoints wrap some blocks and not others."""
    wrapped = [n.replace(".", f".{''.join(stack)}", 1) for n, stack in zip(NAMES, stacks, strict=True)]
    assert list(canonical_names(wrapped).values()) == NAMES


@pytest.mark.parametrize("odd", ["head.weight", "models.weight", "weight"])
def test_a_prefix_that_one_name_lacks_stays(odd: str) -> None:
    names = ["model.0.weight", odd]
    assert canonical_names(names) == {name: name for name in names}


def test_a_tensor_may_be_called_as_a_wrapper_is() -> None:
    assert [unwrapped(name) for name in ("module", "a.module", "modules.w")] == ["module", "a.module", "modules.w"]


def test_order_is_kept_and_nothing_is_nothing() -> None:
    assert list(canonical_names(["net.b", "net.a"]).values()) == ["b", "a"]
    assert canonical_names([]) == {}


def test_two_names_never_become_one() -> None:
    with pytest.raises(CheckpointError) as caught:
        canonical_names(["a.weight", "module.a.weight", "b"], "x.pt")
    assert str(caught.value) == (
        "x.pt has a.weight and module.a.weight, which are one name without the modules that wrap others; "
        "--ignore '^module[.]a[.]' leaves out the longer"
    )


def test_the_same_weights_wrapped_differently_are_one_checkpoint(tmp_path: Path) -> None:
    state = {name: torch.full((2, 2), float(i)) for i, name in enumerate(NAMES)}
    prints = set()
    for i, wrap in enumerate(("{}", "module.{}", "model.{}", "net._orig_mod.{}", "_forward_module.model.{}")):
        torch.save({wrap.format(name): tensor for name, tensor in state.items()}, tmp_path / f"{i}.pt")
        prints.add(load(tmp_path / f"{i}.pt").fingerprint)
    torch.save({f"model.{n}": t for n, t in state.items()} | {"criterion.weight": torch.ones(2)}, tmp_path / "more.pt")
    prints.add(load(tmp_path / "more.pt", ignore="^criterion[.]").fingerprint)
    assert len(prints) == 1
    assert load(tmp_path / "more.pt").fingerprint not in prints


def test_a_pattern_that_is_none_is_said_in_a_line() -> None:
    with pytest.raises(Misuse) as caught:
        ignored("[")
    assert str(caught.value) == (
        "--ignore '[' is no regular expression (unterminated character set at position 0); give one that is found in "
        "the names to leave out, such as '^criterion[.]'"
    )


def test_a_pattern_that_leaves_nothing(tmp_path: Path) -> None:
    torch.save({"0.weight": torch.ones(2, 2)}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError) as caught:
        load(tmp_path / "x.pt", ignore="weight")
    assert str(caught.value) == f"--ignore 'weight' leaves no tensor of {tmp_path / 'x.pt'}, which holds 0.weight"
