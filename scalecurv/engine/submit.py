"""A Ray job that runs `scalecurv analyze` on a cluster: this interpreter, absolute paths, a token."""

import asyncio
import os
import shlex
import sys
from collections.abc import Callable, Sequence

from scalecurv.engine.session import reach, use_token
from scalecurv.errors import INTERRUPTED, Misuse, first_line

DEFAULT_ADDRESS = "http://127.0.0.1:8265"


def submit(arguments: Sequence[str], address: str | None, say: Callable[[str], None]) -> int:
    """Submit `analyze` with these arguments, pass its log to `say`, and return the exit code of the job.

    After Ctrl-C the job runs on, and the code is 130. Nothing is uploaded: the package is installed where the cluster
    runs, and checkpoints are read by path.
    Raises Misuse where no job server answers or it refuses the token.
    """
    use_token()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from ray.exceptions import RayError
    from ray.job_submission import JobSubmissionClient

    where = address or os.environ.get("RAY_API_SERVER_ADDRESS") or DEFAULT_ADDRESS
    entrypoint = shlex.join([sys.executable, "-m", "scalecurv", "analyze", *arguments])
    path = os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")]))
    try:
        reach(where)
        client = JobSubmissionClient(where)
        job = client.submit_job(entrypoint=entrypoint, runtime_env={"env_vars": {"PYTHONPATH": path}})
    except (OSError, OverflowError, RuntimeError, ValueError, RayError) as error:
        raise Misuse(
            f"no Ray job server takes jobs at {where} ({first_line(error)}); start one with "
            f"`RAY_AUTH_MODE=token ray start --head`, or give --address"
        ) from error
    say(f"job {job} submitted to {where}\n")

    async def follow() -> None:
        async for lines in client.tail_job_logs(job):
            say(lines)

    try:
        asyncio.run(follow())
    except KeyboardInterrupt:
        say(f"no longer followed, job {job} goes on; `ray job stop --address {where} {job}` stops it\n")
        return INTERRUPTED
    details = client.get_job_info(job)
    if details.driver_exit_code is not None:
        return int(details.driver_exit_code)
    say(f"job {job} ended as {details.status}: {details.message}\n")
    return 1
