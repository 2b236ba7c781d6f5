"""The programs and the machine that computed a number, as the provenance of its row tells them."""

import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("scalecurv", "ray", "numpy", "scipy", "h5py")


def versions() -> dict[str, str]:
    """Return the versions of the packages used, the host, and the git revision where the package is a checkout."""
    found = {package: version(package) for package in PACKAGES}
    return {**found, "python": platform.python_version(), "host": platform.node(), "git": _revision()}


def _revision() -> str:
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return ""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


@cache
def surroundings(device: str) -> dict[str, Any]:
    """Return the versions of packages, the device, and the code path of the processor."""
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu"
    path = torch.backends.cpu.get_cpu_capability()  # results are bitwise equal only where this is equal
    return {**versions(), "torch": torch.__version__, "device": name, "cpu_capability": path}
