"""A description of what a sweep would do, share out and cost, before anything is done."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from scalecurv.cli.plan_table import table
from scalecurv.engine.choice import Choice, ray_pays
from scalecurv.engine.cost import Cost
from scalecurv.engine.dispatch import (
    choose,
    num_workers_here,
    serial_threads,
    workers_per_checkpoint,
)
from scalecurv.engine.resources import Resources, serial_device
from scalecurv.engine.worker import Worker
from scalecurv.sweeps.work import Sweep, Work

SHOWN = 5  # paths


def describe(sweep: Sweep, work: Work) -> Iterator[str]:
    """Yield lines: the number of checkpoints, the engine, how work is shared out, the most it costs, first paths."""
    count, resources = len(work.todo), sweep.resources
    names = ", ".join(measure.name for measure in sweep.request.measures)
    device, worker = serial_device(resources.device), Worker(work.task, sweep.request, sweep.arithmetic, work.known)
    cost = cache(lambda threads: worker.cost(work.first, device, threads) if work.first else None)
    alone = resources.threads or 1  # of a Ray worker
    choice = choose(resources, count, lambda: cost(alone))
    yield f"{len(work.found)} checkpoint(s) found, {count} to do on engine {choice.engine}: {names}"
    if not count:
        return
    yield f"engine {choice.engine}: {choice.reason}"
    threads = serial_threads(resources, choice).count if choice.engine == "serial" else alone
    yield from _shares_and_cost(cost(threads), resources, choice, count, device)
    yield from work.todo[:SHOWN]
    if count > SHOWN:
        yield f"... and {count - SHOWN} more"


def first_refusal(sweep: Sweep, work: Work) -> str:
    """Return why the first checkpoint would fail; "" where it would not, or there is nothing to do."""
    if not work.todo:
        return ""
    resources = sweep.resources
    worker = Worker(work.task, sweep.request, sweep.arithmetic, work.known)
    return worker.on(serial_device(resources.device), resources.threads or 1).refusal(work.todo[0])


def _shares_and_cost(cost: Cost | None, resources: Resources, choice: Choice, count: int, device: str) -> Iterator[str]:
    if cost is None:
        yield "cost: not known, the first of them fails"
        return
    workers = num_workers_here(resources) if choice.engine == "ray" else 1
    if choice.may_change:  # once the first is done
        several = num_workers_here(resources) or 1
        workers = several if ray_pays(cost.eta(count - 1, 1, 1), min(several, count - 1)) else 1
    members = workers_per_checkpoint(resources.plan, count, workers or 1) if choice.engine == "ray" else 1
    if resources.plan == "auto" and device == "cpu" and not cost.worth_splitting(members):
        members = 1
    split = members > 1 or (resources.plan in ("probes", "data") and not workers)
    what = "data" if resources.plan == "data" else "probes"
    over = f"{members} workers" if workers else "all workers"
    shared = f"the {what} of each checkpoint over {over}" if split else "one checkpoint a worker"
    there = f"{workers} worker(s)" if workers else "as many workers as the cluster has room for"
    if choice.engine == "serial":
        there = "one process" if workers == 1 else f"one process, then {there} where that saves time"
    yield f"plan: {shared}, {there}"
    yield (
        f"at most {cost.matvecs} Hessian products a checkpoint, {cost.probes} of them of probes, {cost.seconds:.3g} s "
        f"each on {device} here; products with J apart"
    )
    yield f"at most {cost.bytes / 1e6:,.0f} MB a worker"
    if workers:
        shared_out = replace(cost, probes=cost.matvecs) if resources.plan == "data" else cost
        yield f"at most {shared_out.eta(count, workers, members):,.0f} s of Hessian products in all, at that speed"
    if cost.plan:
        yield from table(cost.plan, cost.gradient)
