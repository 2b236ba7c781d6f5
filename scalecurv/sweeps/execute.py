"""The work of a sweep: checkpoints are computed, and each outcome is stored as it comes."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from scalecurv.checkpoints.step import is_alias
from scalecurv.engine.attempts import Done, GivenUp
from scalecurv.engine.dispatch import run
from scalecurv.engine.worker import Worker, failure
from scalecurv.record import Outcome
from scalecurv.store.compact import compact_if_many
from scalecurv.store.labels import write_labels
from scalecurv.store.reader import set_aside
from scalecurv.store.writer import prepare_store, write_part
from scalecurv.sweeps.progress import Progress
from scalecurv.sweeps.reporter import Reporter
from scalecurv.sweeps.work import Sweep, Work

logger = logging.getLogger(__name__)


def execute(sweep: Sweep, work: Work, on_outcome: Callable[[Outcome], None], reporter: Reporter | None = None) -> None:
    """Do the work that is left; commit every outcome before `on_outcome` is called with it.

    New labels of stored checkpoints are committed first, as one part. Aliases come last: one that equals another
    checkpoint in content is stored as its `twin`, without numbers. After them come files that were renamed. Raises
    StoreError where the store cannot be written, UnexpectedError for a bug met at some checkpoint (once the running
    work is committed), Misuse for resources that are missing. `reporter` tells what is computed; without one, the sweep
    has its own.
    """
    prepare_store(sweep.store)
    for path in work.broken:
        set_aside(path)
    for note in work.notes:
        logger.warning("%s", note)
    if work.inventory.changes:
        write_labels(sweep.store, work.inventory.changes)
    compact_if_many(sweep.store)
    if not work.todo:
        return
    with nullcontext(reporter) if reporter else Reporter(sweep.store) as telling:
        _compute(sweep, work, on_outcome, telling)


def _compute(sweep: Sweep, work: Work, on_outcome: Callable[[Outcome], None], reporter: Reporter) -> None:
    """Compute and store what is left to do."""
    worker = Worker(work.task, sweep.request, sweep.arithmetic, work.known)
    results = run(worker, work.todo, sweep.resources, work.first, reporter.tell)
    progress = Progress(len(work.todo))
    reporter.begin(len(work.todo))
    renamed: list[Outcome] = []

    def tell(outcome: Outcome) -> None:
        progress.log(outcome)
        reporter.count(outcome)
        on_outcome(outcome)
        compact_if_many(sweep.store)

    for outcome in _twins_last(_outcomes(results, work.task.id, sweep.request.seed, reporter), work.seen):
        outcome = work.inventory.labelled(outcome)
        if work.inventory.may_be_renamed(outcome):
            renamed.append(outcome)
            if not outcome.records:  # its row may be one that is stored under its former path
                continue
        write_part(sweep.store, outcome)
        tell(outcome)
    for outcome in _settle(sweep.store, work, renamed):
        tell(outcome)


def _settle(store: Path, work: Work, outcomes: list[Outcome]) -> Iterator[Outcome]:
    """Store what is known of renamed files once all are read; yield those outcomes that had waited for it."""
    changes, covered = work.inventory.settled(outcomes)
    if changes:
        write_labels(store, changes)
    for outcome in outcomes:
        if not outcome.records:
            if outcome.path not in covered:
                write_part(store, outcome)
            yield outcome


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


def _outcomes(results: Iterable[Done | GivenUp], task_id: str, seed: int, reporter: Reporter) -> Iterator[Outcome]:
    for result in results:
        reporter.ended(result.path)
        if isinstance(result, Done):
            yield replace(result.result, attempt=result.attempt, engine=result.engine)
        else:
            failed = failure(result.path, result.reason, task_id, seed)
            yield replace(failed, attempt=result.attempt, engine=result.engine)
