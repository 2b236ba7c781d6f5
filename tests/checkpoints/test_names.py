"""Canonical names: the prefixes of wrappers, and only those that every name carries."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalecurv.checkpoints.content import PREFIXES, canonical_names

NAMES = ["0.weight", "0.bias", "2.weight", "head.bias"]


@settings(derandomize=True, deadline=None, max_examples=50, database=None)
@given(st.lists(st.sampled_from(PREFIXES), max_size=4))
def test_any_stack_of_wrappers_is_taken_off(stack: list[str]) -> None:
    wrapped = ["".join(stack) + name for name in NAMES]
    assert canonical_names(wrapped) == dict(zip(wrapped, NAMES, strict=True))


@pytest.mark.parametrize("odd", ["head.weight", "modules.weight", "weight"])
def test_a_prefix_that_one_name_lacks_stays(odd: str) -> None:
    names = ["module.0.weight", odd]
    assert canonical_names(names) == {name: name for name in names}


def test_order_is_kept_and_nothing_is_nothing() -> None:
    assert list(canonical_names(["net.b", "net.a"]).values()) == ["b", "a"]
    assert canonical_names([]) == {}
