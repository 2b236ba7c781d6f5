"""A DataLoader as samples in a fixed order; one that shuffles or leaves samples out is refused before it is read."""

from typing import Any

from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
    default_collate,
)

from scalecurv.errors import Misuse
from scalecurv.samples.stream import FIXED, Stream

RANDOM = (WeightedRandomSampler, SubsetRandomSampler)


def stream_of_loader(loader: DataLoader[Any]) -> Stream:
    """Return the batches of a loader; raise Misuse where its sampler draws, or where it leaves samples out.

    Example:
        >>> import torch
        >>> pairs = torch.utils.data.TensorDataset(torch.zeros(5, 2), torch.zeros(5))
        >>> [len(pair) for pair in stream_of_loader(DataLoader(pairs, batch_size=2)).read()]
        [2, 2, 1]
    """
    _refuse_random_order(loader)
    _refuse_left_out(loader)
    indexed = not isinstance(loader.dataset, IterableDataset) and hasattr(loader.dataset, "__len__")
    batched = loader.batch_size is not None or loader.batch_sampler is not None
    return Stream(
        type(loader).__name__,
        lambda: iter(loader),
        single=False if batched else None,  # without batches, the data set's own items: samples, or batches
        dataset=loader.dataset if indexed and hasattr(loader.dataset, "__getitem__") else None,
        plain=batched and loader.collate_fn is default_collate,
    )


def _samplers(loader: DataLoader[Any]) -> list[Any]:
    """Return the sampler, the sampler of batches, and the samplers that they hold."""
    found: list[Any] = []
    waiting: list[Any] = [loader.batch_sampler, loader.sampler]
    while waiting:
        sampler = waiting.pop()
        if sampler is None or any(sampler is other for other in found):
            continue
        found.append(sampler)
        waiting.append(getattr(sampler, "sampler", None))
    return found


def _refuse_random_order(loader: DataLoader[Any]) -> None:
    for sampler in _samplers(loader):
        kind = type(sampler).__name__
        if isinstance(sampler, DistributedSampler):
            if sampler.num_replicas > 1:
                raise Misuse(
                    f"the DataLoader has a {kind}, which reads one of {sampler.num_replicas} shares of the data; give "
                    f"the loader without it, of all samples"
                )
            if sampler.shuffle:
                raise Misuse(f"the DataLoader shuffles ({kind}); give its samples in a fixed order, by shuffle=False")
        if isinstance(sampler, RandomSampler):
            raise Misuse(f"the DataLoader shuffles (its sampler is a {kind}); {FIXED}")
        if isinstance(sampler, RANDOM):
            raise Misuse(
                f"the DataLoader shuffles (its sampler is a {kind}); {FIXED}, without a sampler, of the data set or of "
                f"a part of it, by torch.utils.data.Subset(dataset, indices)"
            )


def _refuse_left_out(loader: DataLoader[Any]) -> None:
    """Raise Misuse where drop_last leaves samples out: the sum over the data would not be that of the data."""
    sampler = loader.batch_sampler
    drops = sampler.drop_last if isinstance(sampler, BatchSampler) else loader.drop_last
    size = sampler.batch_size if isinstance(sampler, BatchSampler) else loader.batch_size
    if not drops or not size:
        return
    ordered = sampler.sampler if isinstance(sampler, BatchSampler) else loader.dataset
    try:
        count = len(ordered)  # type: ignore[arg-type]
    except (TypeError, NotImplementedError):  # of unknown length
        raise Misuse(
            "the DataLoader has drop_last=True, which may leave samples out; give it with drop_last=False"
        ) from None
    if left := count % size:
        raise Misuse(
            f"the DataLoader leaves {left} of {count} samples out (drop_last=True); give it with drop_last=False"
        )
