"""How Ray is reached: under a token, without telemetry, and never by waiting for a cluster that is not there."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from scalecurv.engine.session import inside_job, ray_session, reach, use_token


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


def test_a_job_is_known_by_its_environment(clean: pytest.MonkeyPatch) -> None:
    assert not inside_job()
    clean.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    assert inside_job()


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}", "http://127.0.0.1:{}", "[::ffff:127.0.0.1]:{}"])
def test_a_port_is_tried_before_ray_is(form: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        server.settimeout(10)
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
