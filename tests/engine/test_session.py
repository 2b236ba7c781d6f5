"""Ray is reached under a token, without telemetry, and never by waiting for a cluster that is not there."""

import ipaddress
import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from scalecurv.engine.embedded_cluster import family_of
from scalecurv.engine.session import inside_job, ray_session, reach, use_token
from tests.commands import HANG


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_JOB_CONFIG_JSON_ENV_VAR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return monkeypatch


def write_token(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("0123")


@pytest.mark.parametrize("place", ["nowhere", "home", "elsewhere", "environment"])
def test_a_token_is_used_where_there_is_one(clean: pytest.MonkeyPatch, tmp_path: Path, place: str) -> None:
    if place == "home":
        write_token(tmp_path / ".ray" / "auth_token")
    elif place == "elsewhere":
        write_token(tmp_path / "keys" / "token")
        clean.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "keys" / "token"))
    elif place == "environment":
        clean.setenv("RAY_AUTH_TOKEN", "0123")
    clean.setenv("RAY_AUTH_MODE", "restored afterwards")
    clean.delenv("RAY_AUTH_MODE")
    use_token()
    assert os.environ.get("RAY_AUTH_MODE") == (None if place == "nowhere" else "token")


def test_what_the_user_says_of_tokens_stands(clean: pytest.MonkeyPatch) -> None:
    clean.setenv("RAY_AUTH_TOKEN", "0123")
    clean.setenv("RAY_AUTH_MODE", "disabled")
    use_token()
    assert os.environ["RAY_AUTH_MODE"] == "disabled"


@pytest.mark.parametrize("umask_left", [0o644, 0o640, 0o600, 0o400])
def test_a_token_that_others_can_read_becomes_private(
    clean: pytest.MonkeyPatch, tmp_path: Path, umask_left: int
) -> None:
    token = tmp_path / ".ray" / "auth_token"
    write_token(token)
    token.chmod(umask_left)
    clean.setenv("RAY_AUTH_MODE", "token")
    use_token()
    assert token.stat().st_mode & 0o777 == (0o400 if umask_left == 0o400 else 0o600)


def test_a_token_of_somebody_else_is_left_alone(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    token = tmp_path / ".ray" / "auth_token"
    write_token(token)
    token.chmod(0o644)
    clean.setenv("RAY_AUTH_MODE", "token")
    clean.setattr(os, "getuid", lambda: token.stat().st_uid + 1)
    use_token()
    assert token.stat().st_mode & 0o777 == 0o644


def test_a_job_is_known_by_its_environment(clean: pytest.MonkeyPatch) -> None:
    assert not inside_job()
    clean.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    assert inside_job()


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}", "http://127.0.0.1:{}", "[::ffff:127.0.0.1]:{}"])
def test_a_port_is_tried_before_ray_is(form: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        server.settimeout(HANG)
        reach(form.format(port))
        connection, _ = server.accept()
        connection.close()
    with pytest.raises(ConnectionRefusedError):
        reach(form.format(port))


def test_auto_is_left_to_ray() -> None:
    assert reach("auto") is None


@pytest.mark.ray
def test_the_embedded_cluster_is_private_and_quiet(cluster: Any) -> None:
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert cluster.cluster_resources()["CPU"] == 2
    assert cluster.get_runtime_context().gcs_address.rpartition(":")[2].isdigit()


def listening(pids: Iterable[int]) -> set[tuple[str, int]]:
    """The addresses and ports on which these processes take connections."""
    sockets = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == "0A":
                words, port = local.split(":")
                raw = b"".join(bytes.fromhex(words[i : i + 8])[::-1] for i in range(0, len(words), 8))
                sockets[f"socket:[{rest[5]}]"] = (str(ipaddress.ip_address(raw)), int(port, 16))
    found = set()
    for pid in pids:
        with suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    found.add(sockets.get(os.readlink(descriptor)))
    return {place for place in found if place is not None}


@pytest.mark.ray
def test_the_embedded_cluster_listens_on_this_machine_alone(cluster: Any) -> None:
    places = listening([os.getpid(), *family_of(os.getpid())])
    assert int(cluster.get_runtime_context().gcs_address.rpartition(":")[2]) in {port for _, port in places}
    for address, port in places:
        ip = ipaddress.ip_address(address)
        assert (getattr(ip, "ipv4_mapped", None) or ip).is_loopback, (address, port)


@pytest.mark.ray
@pytest.mark.parametrize("address", [None, "127.0.0.1:1"])
def test_a_session_that_is_open_is_used_and_left_open(
    cluster: Any, monkeypatch: pytest.MonkeyPatch, address: str | None
) -> None:
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED")
    with ray_session(address, num_cpus=1, num_gpus=0) as ray:
        assert ray is cluster
        assert ray.cluster_resources()["CPU"] == 2
        assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"  # whoever hears of it first
    assert cluster.is_initialized()
