"""The work of a sweep: checkpoints are computed, and each outcome is stored as it comes."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from scalecurv.checkpoints.step import is_alias
from scalecurv.engine.attempts import Done, GivenUp
from scalecurv.engine.dispatch import run
from scalecurv.engine.worker import Worker, failure
from scalecurv.record import Outcome
from scalecurv.store.compact import compact_if_many
from scalecurv.store.reader import set_aside
from scalecurv.store.writer import prepare_store, write_part
from scalecurv.sweeps.work import Sweep, Work


def execute(sweep: Sweep, work: Work, on_outcome: Callable[[Outcome], None]) -> None:
    """Do the work that is left; commit every outcome before `on_outcome` is called with it.

    Aliases come last: one that equals another checkpoint in content is stored as its `twin`, without numbers. Raises
    StoreError where the store cannot be written, UnexpectedError for a bug met at some checkpoint (once the running
    work is committed), Misuse for resources that are missing.
    """
    prepare_store(sweep.store)
    for path in work.broken:
        set_aside(path)
    compact_if_many(sweep.store)
    if not work.todo:
        return
    worker = Worker(work.task, sweep.request, sweep.arithmetic, work.known)
    results = run(worker, work.todo, sweep.resources, work.first)
    for outcome in _twins_last(_outcomes(results, work.task.id, sweep.request.seed), work.seen):
        write_part(sweep.store, outcome)
        on_outcome(outcome)
        compact_if_many(sweep.store)


def _twins_last(outcomes: Iterable[Outcome], seen: Mapping[str, str]) -> Iterator[Outcome]:
    """Yield the outcomes of aliases after all others, as `twin` where they equal one of those or of `seen`."""
    originals, aliases = dict(seen), []
    for outcome in outcomes:
        if is_alias(Path(outcome.path)):
            aliases.append(outcome)
            continue
        if outcome.fingerprint:
            originals[outcome.fingerprint] = outcome.path
        yield outcome
    for outcome in aliases:
        twin = originals.get(outcome.fingerprint)
        yield outcome if twin is None else replace(outcome, status="twin", error=twin, records=())


def _outcomes(results: Iterable[Done | GivenUp], task_id: str, seed: int) -> Iterator[Outcome]:
    for result in results:
        if isinstance(result, Done):
            yield replace(result.result, attempt=result.attempt)
        else:
            yield replace(failure(result.path, result.reason, task_id, seed), attempt=result.attempt)
