"""Start-up: what a process does not need, it does not load."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys, torch, scalecurv as sc
model = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3))
found = sc.analyze(sc.Problem(model, (torch.randn(20, 4), torch.arange(20) % 3), loss="cross_entropy"))
print("rank" in found, "trace" in found, "torch._dynamo" in sys.modules)
"""


def test_the_default_report_of_a_perceptron_does_not_load_the_compiler() -> None:
    """The first use of torch.func loads all of torch.compile, 1.5 s in every process."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout.split(), done.returncode) == (["True", "True", "False"], 0), done.stderr
