"""Models that are no function of theta and one sample are refused, draws and company each in its own words."""

import random
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scalecurv.errors import Misuse
from scalecurv.problem.preflight import preflight
from tests.acting import at, rounding
from tests.loops import each


def second(h: Tensor) -> Tensor:
    """A row that holds another sample as soon as there are two."""
    return h[-1:].expand_as(h) if len(h) > 1 else h


def blocks_dropped_rarely(h: Tensor) -> Tensor:
    return h + torch.tanh(h) * (torch.rand(()) < 0.1) / 0.1


DRAWS: dict[str, Callable[[Tensor], Tensor]] = {
    "noise": lambda h: h + 0.01 * torch.randn_like(h),
    "stochastic depth": lambda h: h + torch.tanh(h) * (torch.rand(len(h), 1) < 0.5) / 0.5,
    "a block dropped rarely": blocks_dropped_rarely,
    "dropout beyond the reach of eval": lambda h: nn.functional.dropout(h, 0.5),
    "noise of numpy": lambda h: h * np.random.rand(),  # noqa: NPY002
    "noise of python, rarely": lambda h: h * (1 + (random.random() < 0.1)),
    "noise of numpy, rarely": lambda h: h * (1 + (np.random.rand() < 0.1)),  # noqa: NPY002
    "order of the batch": lambda h: h[torch.randperm(len(h))],
    "nan now and then": lambda h: torch.where(torch.rand_like(h) < 0.5, h, torch.nan),
    "a state": rounding(2e-10),
}
COMPANY: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "statistics of the batch": (lambda h: h - h.mean(0), "each is evaluated alone"),
    "scale of the batch": (lambda h: h / (h.abs().max() + 1), "each is evaluated alone"),
    "number of samples": (lambda h: h * len(h), "each is evaluated alone"),
    "batch reversed inside": (lambda h: h.flip(0), "each is evaluated alone"),
    "place in the batch": (lambda h: h + torch.arange(len(h))[:, None], "their order is reversed"),
    "batch rolled inside": (lambda h: h.roll(1, 0), "their order is reversed"),
    "one sample for all": (second, "their order is reversed"),
}


@each(name=DRAWS)
def test_draws_are_refused(name: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        random.seed(1)
        np.random.seed(0)  # noqa: NPY002  the first 14 draws exceed 0.1
        with pytest.raises(Misuse) as caught:
            preflight(at(DRAWS[name]))
    before, change, after = re.split(r"(\d\.\de[+-]\d\d|inf)", str(caught.value), maxsplit=1)
    assert before == "the model's outputs change by "
    assert float(change) > 1e-10
    assert after == (
        " of the largest when the same samples are evaluated again: it draws at random inside (noise, augmentation, "
        "stochastic depth) or keeps a state; call model.eval(), or move augmentation out of forward"
    )


@each(name=COMPANY, num_data=[3, 8, 30])
def test_what_depends_on_its_company_is_refused(name: str, num_data: int) -> None:
    act, way = COMPANY[name]
    num_samples = min(num_data, 8)
    with pytest.raises(Misuse) as caught:
        preflight(at(act, num_data))
    before, change, after = re.split(r"(\d\.\de[+-]\d\d|inf)", str(caught.value), maxsplit=1)
    assert before == f"the outputs of {num_samples} samples change by "
    assert float(change) > 0.01
    assert after == (
        f" of the largest when {way}: the output of a sample depends on its place or on the rest of its batch (batch "
        "statistics, shuffling inside); call model.eval(), or make the model treat every sample by itself"
    )


def test_one_sample_a_batch_is_no_way_around() -> None:
    with pytest.raises(Misuse, match=r"^the outputs of 2 samples change .* when each is evaluated alone: "):
        preflight(at(lambda h: h - h.mean(0), batch_size=1))


def test_samples_are_taken_from_all_over_the_data() -> None:
    """Sorted data: the first 16 of 30 samples are one and the same, and tell nothing of their order."""
    point = at(lambda h: h.cumsum(0) / torch.arange(1, len(h) + 1)[:, None], 30)
    point.x[:16] = point.x[0]
    with pytest.raises(Misuse, match=r"^the outputs of 8 samples change .* when their order is reversed: "):
        preflight(point)


@each(shape=[(1, 3), (7, 3)])
def test_a_row_a_sample_is_wanted(shape: tuple[int, int]) -> None:
    message = f"the model's outputs for 5 samples have shape {shape}, wanted (5, 3); return one row a sample, of one "
    with pytest.raises(Misuse, match=f"^{re.escape(message)}width whatever the batch$"):
        preflight(at(lambda h: h if len(h) == 1 else h[:1].expand(shape), 5))
