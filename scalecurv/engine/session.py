"""A connection to Ray: an embedded cluster of this machine, or one that is running already."""

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from scalecurv.engine.embedded_cluster import EmbeddedCluster
from scalecurv.errors import Misuse, first_line

CONNECT_SECONDS = 5.0
LOOPBACK_ONLY = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # at 0 every port of a node is on 127.0.0.1, on Linux too


def inside_job() -> bool:
    """Return whether this process is the driver of a job submitted to a Ray cluster."""
    return "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ


def joining(address: str | None) -> str | None:
    """Return the address of the running cluster to join, None where an embedded one is to be started."""
    return address or os.environ.get("RAY_ADDRESS") or ("auto" if inside_job() else None)


@contextmanager
def ray_session(address: str | None, num_cpus: int, num_gpus: int) -> Iterator[Any]:
    """Yield the ray module, connected; shut down on leaving what was started here.

    With an address, inside a job or with RAY_ADDRESS set, the running cluster is joined; otherwise an embedded one of
    `num_cpus` and `num_gpus` is started, on the loopback interface, under its own token. Telemetry is off. Ray reads
    these settings when it is imported, so they are set first. Raises Misuse where no cluster answers.
    """
    cluster = joining(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if cluster is None:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        os.environ.setdefault(LOOPBACK_ONLY, "0")
        os.environ.setdefault("RAY_worker_niceness", "0")  # at Ray's own 15 workers starve beside any busy process
    else:
        use_token()
        os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "1")  # else 20 times 40 s at an address gone stale
    import ray

    if ray.is_initialized():  # a notebook's or a test's own session: used, and left running
        yield ray
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
    if cluster is None:
        with EmbeddedCluster() as embedded:
            ray.init(address="local", include_dashboard=False, num_cpus=num_cpus, num_gpus=num_gpus, **quiet)
            try:
                embedded.watch()
                yield ray
            finally:
                embedded.end_autoscaler()
                ray.shutdown()
        return
    try:
        reach(cluster)
        ray.init(address=cluster, **quiet)
    except (OSError, OverflowError, RuntimeError, ValueError) as error:
        raise Misuse(
            f"no Ray cluster answers at {cluster} ({first_line(error)}); start one with "
            f"`RAY_AUTH_MODE=token ray start --head`, or leave --address out"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def reach(address: str) -> None:
    """Raise OSError where nothing listens at host:port: Ray would wait for minutes, deaf to Ctrl-C."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()


def use_token() -> None:
    """Turn token authentication on where there is a token; must run before ray is imported.

    A token file of this user that others may read, as Ray leaves it under the usual umask, becomes private.
    """
    token_file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH", "~/.ray/auth_token")).expanduser()
    with suppress(OSError):  # a disk that is read-only, or no longer there
        status = token_file.stat()
        if status.st_uid == os.getuid() and status.st_mode & 0o077:
            token_file.chmod(0o600)
    if "RAY_AUTH_TOKEN" in os.environ or token_file.is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")
