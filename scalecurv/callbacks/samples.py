"""The samples that are measured: drawn once, from whatever holds them, and kept as arrays."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader, IterableDataset, RandomSampler, SequentialSampler, Subset

from scalecurv.data.checks import check_finite, check_form
from scalecurv.data.held import Data
from scalecurv.data.load import chosen, load_data
from scalecurv.data.reread import Reread
from scalecurv.data.survey import Survey, arrays_of
from scalecurv.errors import Misuse
from scalecurv.samples.forms import opened
from scalecurv.samples.pairs import Pair
from scalecurv.samples.stream import Stream, fetched
from scalecurv.user_code import name_of, names_code

logger = logging.getLogger(__name__)

ALL_OF_THEM = 2**62  # bytes: the samples are held, however many are asked for
_SOURCE = "(given)"  # the data in messages of readers of files, which `_naming` takes out again


def samples_of(data: Any, max_samples: int | None, seed: int, memory: int | None = None) -> Data | Reread:
    """Return at most `max_samples` samples, which `seed` draws as `scalecurv analyze --max-samples` does.

    `data` is what a Problem takes, a file, or user code. Of a DataLoader over a data set with a length, the data set
    and the collate function are used, and all samples make one batch: its own iterator, its order and its random state
    stay as they are. Where samples are random (augmentation, masks), one draw is kept. Raises Misuse for anything else.

    Example:
        >>> import torch
        >>> pairs = torch.utils.data.TensorDataset(torch.arange(10.0)[:, None], torch.zeros(10))
        >>> samples_of(DataLoader(pairs, batch_size=2, shuffle=True), 3, seed=0).x.tolist()
        [[3.0], [4.0], [9.0]]
    """
    if isinstance(data, str | Path):
        place = data if names_code(str(data)) else Path(data).expanduser().absolute()
        return load_data(place, None, max_samples, seed, memory)
    if not hasattr(data, "__iter__") and not hasattr(data, "__getitem__") and callable(data):
        return load_data(str(name_of("data", data)), None, max_samples, seed, memory)
    choose = partial(chosen, wanted=max_samples, seed=seed)
    with _naming():
        if isinstance(data, DataLoader) and _in_any_order(data):
            return _drawn(data.dataset, data.collate_fn, choose)
        found = opened(data)
        if isinstance(found, Pair):
            x, y = arrays_of(found)
            check_form(_SOURCE, x, y)
            rows = choose(len(x))
            some = (x, y) if rows is None else (x[rows], y[rows])
            check_finite(_SOURCE, *some)
            return Data(*some, len(x))
        if found.single and found.dataset is not None:
            return _drawn(found.dataset, None, choose)
        found.refuse_random()
        survey = Survey.of(_SOURCE, found, ALL_OF_THEM)
        return Data(*survey.joined(choose(survey.count), survey.held or ()), survey.count)


def place_of(data: Any) -> Path | str:
    """Return where the samples are from, as the store says it: a file, the name of user code, "" for arrays.

    Example:
        >>> place_of("mine:texts"), place_of(([[1.0]], [0]))
        ('mine:texts', '')
    """
    if isinstance(data, str | Path):
        return data if names_code(str(data)) else Path(data).expanduser().resolve()
    return "" if hasattr(data, "__iter__") or hasattr(data, "__getitem__") else str(name_of("data", data))


def _in_any_order(loader: DataLoader[Any]) -> bool:
    """Return True where a loader reads each sample of its data set once, in whatever order."""
    known = isinstance(loader.sampler, RandomSampler | SequentialSampler) or hasattr(loader.sampler, "num_replicas")
    twice = getattr(loader.sampler, "replacement", False)
    return known and not twice and not isinstance(loader.dataset, IterableDataset) and loader.collate_fn is not None


def _drawn(dataset: Any, collate: Any, choose: Any) -> Data:
    """Return samples drawn of a data set with a length; those of a loader are put together by its own function."""
    available = fetched("the length of the data set", dataset.__len__)
    rows = choose(available)
    some = dataset if rows is None else Subset(dataset, rows.tolist())
    if collate is None:
        stream = opened(some)
    else:
        stream = opened(DataLoader(some, batch_size=max(1, len(some)), collate_fn=collate))
    assert isinstance(stream, Stream)
    stream = replace(stream, name=type(dataset).__name__)
    try:
        stream.refuse_random()
    except Misuse as error:  # one that is no more than that is said here; any other comes back below
        logger.warning(
            "%s; one draw of these samples is kept, and measured at every step", str(error).partition(";")[0]
        )
    survey = Survey.of(_SOURCE, stream, ALL_OF_THEM)
    return Data(*survey.joined(None, survey.held or ()), available)


@contextmanager
def _naming() -> Iterator[None]:
    try:
        yield
    except Misuse as error:
        raise Misuse(str(error).replace(f"--data {_SOURCE}", "data")) from error
