"""The cluster files fit the schemas of those who read them, ask for a token, and open no port; a typo fails."""

import copy
import json
import re
import shlex
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import yaml

from scalecurv.cli.main import main
from tests.commands import ROOT

CLUSTER = yaml.safe_load((ROOT / "jobs" / "cluster.yaml").read_text())
RAYJOB, CLAIM = yaml.safe_load_all((ROOT / "jobs" / "rayjob.yaml").read_text())
PINNED = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
SPEC = RAYJOB["spec"]
GROUPS = [SPEC["rayClusterSpec"]["headGroupSpec"], *SPEC["rayClusterSpec"]["workerGroupSpecs"]]


def validator(schema: Path) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(schema.read_text()))


# read as a file: the package itself must not be imported before a cluster has set its token
FOUND = find_spec("ray")
assert FOUND is not None
assert FOUND.origin is not None
OF_RAY = validator(Path(FOUND.origin).parent / "autoscaler" / "ray-schema.json")
OF_KUBERAY = validator(Path(__file__).parent / "rayjob_schema.json")


def check_cluster(config: Any) -> None:
    OF_RAY.validate(config)
    unknown = set(config["provider"]) - {"type", "head_ip", "worker_ips"}  # Ray's schema lets any name through here
    if unknown:
        raise jsonschema.ValidationError(f"provider has {unknown}")


def check_rayjob(config: Any) -> None:
    OF_KUBERAY.validate(config)


def start_lines() -> list[list[str]]:
    commands = CLUSTER["head_start_ray_commands"] + CLUSTER["worker_start_ray_commands"]
    return [shlex.split(line) for line in commands if " start " in line]


def test_the_cluster_file_fits_rays_own_schema() -> None:
    check_cluster(CLUSTER)
    assert CLUSTER["provider"]["type"] == "local"


def test_the_job_fits_the_fields_of_kuberay() -> None:
    check_rayjob(RAYJOB)
    assert CLAIM["spec"]["accessModes"] == ["ReadWriteMany"]


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path to every name in a tree, except the names that are data."""
    if isinstance(node, list):
        return [place for i, item in enumerate(node) for place in places(item, (*path, i))]
    if not isinstance(node, dict) or (path and path[-1] in ("rayStartParams", "file_mounts")):
        return []
    return [place for name in node for place in ((*path, name), *places(node[name], (*path, name)))]


def misspelt(tree: Any, place: tuple[Any, ...]) -> Any:
    """Return a copy of `tree` in which the name at `place` is a letter longer."""
    changed = copy.deepcopy(tree)  # aliases stay shared, as in the file
    node = changed
    for step in place[:-1]:
        node = node[step]
    node[f"{place[-1]}x"] = node.pop(place[-1])
    return changed


@pytest.mark.parametrize(("check", "tree"), [(check_cluster, CLUSTER), (check_rayjob, RAYJOB)])
def test_any_typo_in_any_name_is_caught(check: Callable[[Any], None], tree: Any) -> None:
    tried = places(tree)
    assert len(tried) > 10
    for place in tried:
        with pytest.raises(jsonschema.ValidationError):
            check(misspelt(tree, place))


def test_the_entrypoint_is_an_analysis_that_parses_with_absolute_paths() -> None:
    words = shlex.split(SPEC["entrypoint"])
    assert words[:4] == ["python", "-m", "scalecurv", "analyze"]
    command = main.get_command(click.Context(main), "analyze")
    assert command is not None
    params = command.make_context("analyze", words[4:]).params
    for path in (*params["checkpoints"], params["store"]):
        assert path.is_relative_to("/data")
    assert params["checkpoints"]


def test_every_pod_sees_the_volume_and_asks_for_what_it_gets() -> None:
    for group in GROUPS:
        (container,), (volume,) = (group["template"]["spec"][name] for name in ("containers", "volumes"))
        assert [(m["name"], m["mountPath"]) for m in container["volumeMounts"]] == [(volume["name"], "/data")]
        assert volume["persistentVolumeClaim"]["claimName"] == CLAIM["metadata"]["name"]
        assert container["resources"]["requests"] == container["resources"]["limits"]


def test_versions_are_the_pinned_ones() -> None:
    assert SPEC["rayClusterSpec"]["rayVersion"] == PINNED["ray"]
    (install,) = (line for line in CLUSTER["setup_commands"] if "pip install" in line)
    assert "-c constraints.txt" in install
    assert CLUSTER["file_mounts"]["~/scalecurv/constraints.txt"] == "constraints.txt"
    for here in CLUSTER["file_mounts"].values():
        assert here.startswith("~") or (ROOT / here).exists(), here


def test_nobody_gets_in_without_the_token_and_nothing_is_reported() -> None:
    for words in start_lines():
        assert words[0] == "RAY_AUTH_MODE=token"
        assert "--disable-usage-stats" in words
    assert CLUSTER["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert any("chmod 600 ~/.ray/auth_token" in line for line in CLUSTER["setup_commands"])
    auth = SPEC["rayClusterSpec"]["authOptions"]
    assert auth["mode"] == "token"
    for group in GROUPS:
        (container,) = group["template"]["spec"]["containers"]
        env = {entry["name"]: entry for entry in container["env"]}
        assert env["RAY_AUTH_MODE"]["value"] == "token"
        assert env["RAY_USAGE_STATS_ENABLED"]["value"] == "0"
        assert env["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"] == {"name": auth["secretName"], "key": "auth_token"}


def test_no_port_is_opened() -> None:
    head, worker = start_lines()
    assert "--dashboard-host=127.0.0.1" in head
    assert not any(word.startswith("--ray-client-server-port") for word in (*head, *worker))
    assert GROUPS[0]["serviceType"] == "ClusterIP"
    for name in ("cluster.yaml", "rayjob.yaml"):
        assert not re.search(r"0\.0\.0\.0|NodePort|LoadBalancer|enableIngress", (ROOT / "jobs" / name).read_text())


def test_the_head_counts_no_workers_and_the_work_may_start_again() -> None:
    head, worker = start_lines()
    assert {"--num-cpus=0", "--num-gpus=0"} <= set(head)
    assert "--address=$RAY_HEAD_IP:6379" in worker
    assert GROUPS[0]["rayStartParams"]["num-cpus"] == "0"
    assert SPEC["shutdownAfterJobFinishes"] is True
    assert SPEC["backoffLimit"] <= 3
    assert SPEC["submissionMode"] == "K8sJobMode"
