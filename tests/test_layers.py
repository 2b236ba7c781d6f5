"""The architecture as data: which row may import which, where libraries live, how large a file may be."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "scalecurv"
CEILING, FLOOR = 250, 30  # lines a file

# lower rows first; a module may import rows below its own, and its own package
ROWS: tuple[tuple[str, ...], ...] = (
    ("errors", "display", "sketch", "source", "machine"),
    ("statistics", "quantities", "user_code"),
    ("record", "linalg"),
    ("geometry", "autodiff", "samples", "pickles"),
    ("problem",),
    ("mlp", "affine"),
    ("operators",),
    ("measures",),
    ("data",),
    ("checkpoints",),
    ("analysis",),
    ("engine", "store", "plot"),
    ("sweeps", "planes", "results"),
    ("notebook", "callbacks", "report", "watch"),
    ("cli",),
    ("__main__",),
)
HOMES = {
    "ray": ("engine/",),
    "h5py": ("store/", "data/hdf5.py"),
    "torch.func": ("autodiff/", "problem/", "operators/", "mlp/", "affine/"),
    "click": ("cli/",),
    "matplotlib": ("plot/",),
    "plotly": ("report/",),
    "jinja2": ("report/",),
    "rich": ("watch/",),
    "pytorch_lightning": ("callbacks/",),
    "transformers": ("callbacks/",),
    "xarray": ("results/",),
    "tensorboard": ("results/trackers/",),
    "mlflow": ("results/trackers/",),
}
TORCH_FREE = (
    "errors",
    "display",
    "sketch",
    "statistics",
    "quantities",
    "record",
    "geometry",
    "store",
    "plot",
    "results",
    "report",
    "watch",
)
# files of fewer lines than FLOOR, and why each is a file of its own
SMALL = {
    "__main__.py": "the program's entry, which Python names",
    "checkpoints/safetensors_file.py": "one reader for each format of files that are not trusted",
    "samples/batch.py": "the one thing that a sum over data is given, whatever holds the samples",
    "problem/drawn.py": "ranks send each other samples at one place",
    "operators/hessian.py": "the operator that all others are compared with",
}

MODULES = sorted(PACKAGE.rglob("*.py"))


def imports_of(path: Path) -> set[str]:
    """Return the dotted names that a file imports anywhere, `from a import b` as a.b too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def room(path: Path) -> str:
    """Return the folder of the package that holds `path`, or the name of a module at its top."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def row_of(name: str) -> int:
    return next(i for i, row in enumerate(ROWS) if name in row)


def violations(path: Path, imported: set[str]) -> list[str]:
    """Return the rooms above or beside its own that `path` imports."""
    here = room(path)
    targets = {name.split(".")[1] for name in imported if name.startswith("scalecurv.")} - {"__version__", here}
    return sorted(target for target in targets if row_of(target) >= row_of(here))


def circles(modules: dict[str, set[str]]) -> list[str]:
    """Return the modules that import themselves by way of others, or lead to some that do."""
    left = dict(modules)
    while free := [name for name, needs in left.items() if not needs & left.keys()]:
        for name in free:
            del left[name]
    return sorted(left)


def test_arrows_go_down() -> None:
    assert {
        str(path): up for path in MODULES if room(path) != "__init__" and (up := violations(path, imports_of(path)))
    } == {}


def test_no_two_modules_import_each_other() -> None:
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in MODULES}
    graph = {name: (imports_of(path) & names.keys()) - {name} for name, path in names.items()}
    assert circles({name: needs for name, needs in graph.items() if not name.endswith("__init__")}) == []


def test_libraries_stay_at_home() -> None:
    strays = []
    for path in MODULES:
        where, imported = str(path.relative_to(PACKAGE)), imports_of(path)
        for library, homes in HOMES.items():
            if any(name == library or name.startswith(f"{library}.") for name in imported) and not where.startswith(
                homes
            ):
                strays.append((where, library))
        if room(path) in TORCH_FREE:
            strays += [(where, name) for name in imported if name.split(".")[0] in ("torch", "ray")]
    assert strays == []


def test_no_file_outgrows_one_idea_and_none_is_a_fragment() -> None:
    lines = {
        p: len(p.read_text().splitlines())
        for d in ("scalecurv", "jobs", "benchmarks", "tests", "chaos")
        for p in (ROOT / d).rglob("*.py")
    }
    assert {str(path): count for path, count in lines.items() if count > CEILING} == {}
    small = {str(path.relative_to(PACKAGE)) for path in MODULES if lines[path] < FLOOR and path.name != "__init__.py"}
    assert small == SMALL.keys()


def test_every_room_has_a_row() -> None:
    assert {room(path) for path in MODULES} - {"__init__"} == {name for row in ROWS for name in row}


def test_what_breaks_the_rules_is_caught() -> None:
    assert violations(PACKAGE / "linalg" / "inner.py", {"scalecurv.measures.rank"}) == ["measures"]
    assert violations(PACKAGE / "store" / "reader.py", {"scalecurv.engine.pool.Pool"}) == ["engine"]
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]


def test_no_rooms_for_what_has_no_name() -> None:
    nameless = {"utils", "helpers", "base", "common", "manager", "handler"}
    assert not [path for path in MODULES if path.stem in nameless]


def test_reading_a_store_loads_neither_torch_nor_ray(tmp_path: Path) -> None:
    program = (
        "import sys; import scalecurv, scalecurv.cli.main; from scalecurv.results import summary\n"
        "from scalecurv.results.formats import render\n"
        f"store = scalecurv.open_store({str(tmp_path)!r}); render(store.sql('select step from results'), 'json')\n"
        "summary.summary(store); print(sorted({'torch', 'ray'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
