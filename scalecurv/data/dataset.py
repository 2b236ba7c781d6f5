"""Data from user code: arrays, data sets, loaders, lists of batches; held where they fit into memory."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch.utils.data import Subset

from scalecurv.data.checks import check_form
from scalecurv.data.held import Data
from scalecurv.data.reread import Reread, naming, opened_code
from scalecurv.data.stored import Rows, by_name
from scalecurv.data.survey import Survey, arrays_of, dropped
from scalecurv.samples.pairs import Pair
from scalecurv.samples.stream import Stream, fetched


def made(code: str, split: str | None, choose: Callable[[int], Rows], memory: int) -> Data | Reread:
    """Return the data that user code pkg.mod:factory makes; raises Misuse, in which its name stands.

    The factory is called with the split where one is given. Only the chosen items of a data set with a length are
    fetched. Samples that are read in passes are held where they take at most `memory` bytes, or where some of them are
    chosen.
    """
    found = opened_code(code, split)
    with naming(code):
        return _of_pair(code, found, choose) if isinstance(found, Pair) else _read(code, split, found, choose, memory)


def _of_pair(code: str, pair: Pair, choose: Callable[[int], Rows]) -> Data:
    x, y = arrays_of(pair)
    check_form(code, x, y)
    rows = choose(len(x))
    return Data(x, y, len(x)) if rows is None else Data(x[rows], y[rows], len(x))


def _read(code: str, split: str | None, stream: Stream, choose: Callable[[int], Rows], memory: int) -> Data | Reread:
    if stream.single and stream.dataset is not None:
        available = fetched(f"the length of the {stream.name}", stream.dataset.__len__)
        if (rows := choose(available)) is not None:
            some = Subset(stream.dataset, rows.tolist())
            stream = replace(
                stream,
                name=f"{len(rows)} samples drawn of the {stream.name}",
                start=lambda: (some[i] for i in range(len(some))),
                dataset=some,
            )
            stream.refuse_random()
            survey = Survey.of(code, stream, memory)
            return Data(*_joined(survey, stream, None), available)
    stream.refuse_random()
    survey = Survey.of(code, stream, memory)
    rows = choose(survey.count)
    if survey.held is None and rows is None:
        return Reread.of(code, split, stream, survey)
    return Data(*_joined(survey, stream, rows), survey.count)


def _joined(survey: Survey, stream: Stream, rows: Rows) -> tuple[Any, Any]:
    """Return x and y from the batches that are held, or by another pass."""
    if survey.held is not None:
        return survey.joined(rows, dropped(survey.held))
    return survey.joined(rows, (by_name(*arrays_of(pair)) for pair in stream.read(exact=True)))
