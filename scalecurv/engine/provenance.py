"""With which programs a number was computed."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("scalecurv", "ray", "numpy", "scipy", "h5py")


def versions() -> dict[str, str]:
    """Versions of what took part, the host, and the git revision where the package runs from a checkout."""
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
