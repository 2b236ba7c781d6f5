"""Reading needs the packages of requirements-reader.txt and no others: with all others barred, every command works."""

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution, requires
from pathlib import Path

from packaging.requirements import Requirement

from tests.outcomes import exactly, outcome, record, sampled, store_of

ROOT = Path(__file__).parents[2]
LINES = [line.partition("#")[0].strip() for line in (ROOT / "requirements-reader.txt").read_text().splitlines()]
COMMANDS = 13
LISTED = [line for line in LINES if line]
RUNS = [
    outcome(f"/runs/a/step_{i}.pt", record(f"k{i}", {("trace", ""): sampled(3.0, 1.0), **exactly(loss=i)}, ritz=[1.0]))
    for i in (1, 2)
]
PROGRAM = """
import importlib.abc, io, sys
allowed = set(sys.argv[3].split(",")) | set(sys.stdlib_module_names) | {"scalecurv"}

class Barred(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in allowed and not top.startswith("_sysconfig"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Barred())
for name in [name for name in sys.modules if name.partition(".")[0] not in allowed | {"__main__"}]:
    del sys.modules[name]  # what the interpreter loads as it starts

from scalecurv.cli.main import main

def run(*words):
    try:
        main(list(words), prog_name="scalecurv")
    except SystemExit as end:
        print("exit", end.code, words[0])

store, folder = sys.argv[1:3]
run("query", store, "select step, trace from results order by step", "--format", "csv")
run("query", store, "select run from long", "--format", "json")
run("show", store)
for name in ("x.csv", "x.parquet", "x.nc", "x.h5"):
    run("export", store, f"{folder}/{name}")
run("plot", store, f"{folder}/x.png")
run("report", store, f"{folder}/x.html")
run("watch", store, "--once")
run("verify", store)
run("compact", store)
run("forget", store, "--run", "a")
for command in ("analyze", "submit"):
    run(command, folder, store)

import numpy as np
from scalecurv.results.density import SpectralRule, density
rule = SpectralRule(np.linspace(-1, 3, 40), np.full(40, 1 / 40), np.zeros(40, dtype=int))
from scalecurv.results.spectral_sums import effective_dimension
print(density(rule, width=0.3).truncation > 0, density(rule).width > 0, effective_dimension(rule, 1.5, 99).value > 0)
"""


def distributions(lines: list[str]) -> Iterator[str]:
    """The packages that these lines install, by the names under which they are known."""
    for line in lines:
        wanted = Requirement(line)
        if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
            yield wanted.name.lower().replace("_", "-")
            yield from distributions(requires(wanted.name) or [])


def test_every_command_that_reads_works_with_the_listed_packages(tmp_path: Path) -> None:
    installed = set(distributions(LISTED))
    assert not installed & {"torch", "ray", "scipy", "safetensors"}
    modules = {file.parts[0].partition(".")[0] for name in installed for file in distribution(name).files or ()}
    store = store_of(tmp_path / "store", *RUNS)
    (tmp_path / "out").mkdir()
    words = [sys.executable, "-c", PROGRAM, store, tmp_path / "out", ",".join(modules)]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, cwd=ROOT, check=False)
    codes = [line for line in done.stdout.splitlines() if line.startswith("exit")]
    reads = ["query"] * 2 + ["show"] + ["export"] * 4 + ["plot", "report", "watch", "verify", "compact", "forget"]
    assert codes == [*(f"exit 0 {name}" for name in reads), "exit 2 analyze", "exit 2 submit"], done.stderr
    assert done.stdout.splitlines()[:3] == ["step,trace", "1,3.0", "2,3.0"]
    assert done.stdout.splitlines()[-1] == "True True True"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("x.csv", "x.h5", "x.html", "x.nc", "x.parquet", "x.png")
    ]
    advice = "needs torch and ray; run `pip install scalecurv` (No module named "
    assert [line.partition("'")[0] for line in done.stderr.splitlines() if line.startswith("scalecurv")] == [
        f"scalecurv: analyze {advice}",
        f"scalecurv: submit {advice}",
    ]


def test_the_list_is_part_of_what_the_whole_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(LISTED) <= set(project["dependencies"])


def test_the_help_of_every_command_loads_none_of_the_libraries() -> None:
    """So that it is there at once."""
    program = (
        "import sys\nfrom scalecurv.cli.main import main\n"
        "for words in ([], *([name] for name in sorted(main.commands))):\n"
        "    try: main([*words, '--help'], prog_name='scalecurv')\n"
        "    except SystemExit: pass\n"
        "heavy = {'numpy', 'pandas', 'duckdb', 'h5py', 'scipy', 'torch', 'ray'}\n"
        "heavy |= {'matplotlib', 'plotly', 'jinja2', 'rich'}\n"
        "print(len(main.commands), sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == f"{COMMANDS} []\n"
    assert done.stdout.count("Usage: scalecurv") == COMMANDS + 1
