"""Types as users see them: mypy --strict on a script of ten lines finds no Any."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".mypy_cache" / "users"  # of its own, as its options differ from those of `make check`
# libraries of pictures and trainers, whose types are in none of these lines; to read them takes a minute
ASIDE = ("matplotlib", "plotly", "rich", "jinja2", "pytorch_lightning", "transformers", "tensorboard", "mlflow", "ray")
SCRIPT = """\
import torch
import scalecurv as sc

model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))
problem = sc.Problem(model, (torch.randn(100, 8), torch.randint(0, 3, (100,))), loss="cross_entropy")
H = sc.hessian(problem)
reveal_type(problem.num_params)
reveal_type(sc.trace(problem, rtol=0.1))
reveal_type(sc.trace(problem).value)
reveal_type(H @ torch.randn(problem.num_params, 4))
reveal_type(sc.eigenpairs(problem, 2).vectors)
reveal_type(sc.gradient(problem))
reveal_type(sc.analyze(problem, ("moments", "rank"))["trace"])
reveal_type(sc.sweep("runs/a", "results", on_outcome=lambda outcome: print(outcome.path)))
reveal_type(sc.open_store("results"))


def norm(evaluation: sc.Evaluation) -> sc.Findings:  # the body of a measure of one's own
    reveal_type(evaluation.hessian @ evaluation.problem.theta)
    return sc.Findings({"norm": sc.Estimate.exact(float(evaluation.problem.theta.max()), "by hand")})
"""
WANTED = [
    "int",
    "scalecurv.statistics.estimate.Estimate",
    "float",
    "torch._tensor.Tensor",
    "torch._tensor.Tensor",
    "torch._tensor.Tensor",
    "scalecurv.statistics.estimate.Estimate",
    "tuple[scalecurv.record.Outcome, ...]",
    "scalecurv.results.query.Store",
    "torch._tensor.Tensor",
]


WRONG = """\
import scalecurv as sc
sc.tracee
sc.trace(sc.Problem.quadratic(1.0), rtoll=0.1)
sc.open_store("results").no_such_method()
"""


def test_a_script_of_a_user_sees_real_types(tmp_path: Path) -> None:
    """Every expression of type Any would be an error; a script that is wrong on three lines is told so."""
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "wrong.py").write_text(WRONG)
    (tmp_path / "mypy.ini").write_text(
        f"[mypy]\n[mypy-{','.join(f'{name}.*' for name in ASIDE)}]\nfollow_imports = skip\n"
    )
    options = ["--strict", "--disallow-any-expr", "--cache-dir", str(CACHE), "script.py", "wrong.py"]
    done = subprocess.run([sys.executable, "-m", "mypy", *options], cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == ""
    assert re.findall(r'Revealed type is "(.*)"', done.stdout) == WANTED
    assert set(re.findall(r"^(.*:\d+): error", done.stdout, re.MULTILINE)) == {f"wrong.py:{line}" for line in (2, 3, 4)}
