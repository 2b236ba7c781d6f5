"""A description of what a sweep would do, share out and cost, before anything is done."""

from collections.abc import Iterator
from dataclasses import replace

from scalecurv.engine.cost import Cost
from scalecurv.engine.dispatch import (
    Resources,
    chosen_engine,
    num_cores,
    num_workers_here,
    serial_device,
    workers_per_checkpoint,
)
from scalecurv.engine.worker import Worker
from scalecurv.sweeps.work import Sweep, Work


def describe(sweep: Sweep, work: Work) -> Iterator[str]:
    """Yield lines: the number of checkpoints, the engine, how work is shared out, the most it costs, the paths."""
    count, resources = len(work.todo), sweep.resources
    engine = chosen_engine(resources, count)
    names = ", ".join(measure.name for measure in sweep.request.measures)
    yield f"{len(work.found)} checkpoint(s) found, {count} to do on engine {engine}: {names}"
    if count:
        worker = Worker(work.task, sweep.request, sweep.arithmetic, work.known)
        device = serial_device(resources.device)
        threads = resources.threads or (num_cores() if engine == "serial" else 1)
        cost = worker.cost(work.first, device, threads) if work.first else None
        yield from _shares_and_cost(cost, resources, engine, count, device)
    yield from work.todo


def _shares_and_cost(cost: Cost | None, resources: Resources, engine: str, count: int, device: str) -> Iterator[str]:
    workers = num_workers_here(resources) if engine == "ray" else 1
    if cost is None:
        yield "cost: not known, the first of them cannot be analysed"
        return
    members = workers_per_checkpoint(resources.plan, count, workers or 1)
    if resources.plan == "auto" and device == "cpu" and not cost.worth_splitting(members):
        members = 1
    split = members > 1 or (resources.plan in ("probes", "data") and not workers)
    what = "data" if resources.plan == "data" else "probes"
    over = f"{members} workers" if workers else "all workers"
    shared = f"the {what} of each checkpoint over {over}" if split else "one checkpoint a worker"
    there = f"{workers} worker(s)" if workers else "as many workers as the cluster has room for"
    yield f"plan: {shared}, {'one process' if engine == 'serial' else there}"
    yield (
        f"at most {cost.matvecs} Hessian products a checkpoint, {cost.probes} of them of probes, {cost.seconds:.3g} s "
        f"each on {device} here; products with J apart"
    )
    yield f"at most {cost.bytes / 1e6:,.0f} MB a worker"
    if workers:
        shared_out = replace(cost, probes=cost.matvecs) if resources.plan == "data" else cost
        yield f"at most {shared_out.eta(count, workers, members):,.0f} s of Hessian products in all, at that speed"
