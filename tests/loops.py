"""Loops in the place of parametrised cases: one test for all combinations, which names the one that fails."""

import inspect
import itertools
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import wraps
from typing import Any

Test = Callable[..., None]


def each(names: tuple[str, ...] = (), rows: Iterable[tuple[Any, ...]] = ((),), /, **axes: Iterable[Any]) -> Callable:
    """Call the decorated test once for each combination of the values, all as one case.

    Each keyword gives the values of one argument, `rows` those of the arguments `names` together. Fixtures are made
    once for the whole loop, hence it is for tests that leave them as they are. An error carries its combination as a
    note.

    Example: `@each(("name", "loss"), CASES, dtype=[torch.float32, torch.float64])`.
    """
    values = [list(rows), *map(list, axes.values())]
    cases = [
        dict(zip(names, row, strict=True)) | dict(zip(axes, chosen, strict=True))
        for row, *chosen in itertools.product(*values)
    ]
    assert cases, "a loop over nothing tests nothing"

    def decorate(test: Test) -> Test:
        @wraps(test)
        def loop(*fixtures: Any, **named: Any) -> None:
            for case in cases:
                with ExitStack() as stack:
                    stack.push(lambda kind, error, _, case=case: error.add_note(f"with {case}") if error else None)
                    test(*fixtures, **named, **case)

        signature = inspect.signature(test)
        left = [parameter for name, parameter in signature.parameters.items() if name not in cases[0]]
        loop.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]
        return loop

    return decorate
