"""Arrows only go down: the rows of the architecture as data, every import checked against them."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "scalecurv"
CEILING = 250

# lower rows first; a module may import rows below its own, and its own package
ROWS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("estimate",),
    ("student",),
    ("jackknife",),
    ("quantities",),
    ("record",),
    ("named",),
    ("linalg",),
    ("geometry",),
    ("curvature",),
    ("measures",),
    ("data",),
    ("checkpoints",),
    ("analysis", "ask"),
    ("engine", "store", "truncation"),
    ("density",),
    ("spectra",),
    ("sweep", "single", "steps", "query"),
    ("formats", "summary", "plot", "rank_report", "follow", "dry_run"),
    ("export",),
    ("options", "store_commands"),
    ("rank_options", "planes_options"),
    ("cli",),
    ("__main__",),
)
HOMES = {"ray": ("engine/",), "h5py": ("store/", "data/hdf5.py"), "torch.func": ("curvature/",)}
TORCH_FREE = (
    "errors",
    "estimate",
    "student",
    "jackknife",
    "record",
    "quantities",
    "geometry",
    "store",
    "truncation",
    "density",
    "spectra",
    "query",
    "formats",
    "export",
    "store_commands",
    "summary",
    "plot",
    "rank_report",
)

MODULES = sorted(PACKAGE.rglob("*.py"))


def imports_of(path: Path) -> set[str]:
    """Dotted names that a file imports anywhere, `from a import b` as a.b too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def row_of(name: str) -> int:
    return next(i for i, row in enumerate(ROWS) if name in row)


def violations(path: Path, imported: set[str]) -> list[str]:
    """Imports of `path` that point up or sideways."""
    here = room(path)
    targets = {name.split(".")[1] for name in imported if name.startswith("scalecurv.")} - {"__version__", here}
    return sorted(target for target in targets if row_of(target) >= row_of(here))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_arrows_go_down_and_libraries_stay_home(path: Path) -> None:
    imported = imports_of(path)
    if path != PACKAGE / "__init__.py":
        assert violations(path, imported) == []
    where = str(path.relative_to(PACKAGE))
    for library, homes in HOMES.items():
        if any(name == library or name.startswith(f"{library}.") for name in imported):
            assert where.startswith(homes), f"{library} imported outside its home"
    if room(path) in TORCH_FREE:
        assert not any(name.split(".")[0] in ("torch", "ray") for name in imported)


@pytest.mark.parametrize(
    "path", [p for d in ("scalecurv", "jobs", "benchmarks", "tests") for p in sorted((ROOT / d).rglob("*.py"))], ids=str
)
def test_no_file_outgrows_one_idea(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= CEILING


def test_every_room_has_a_row() -> None:
    assert {room(path) for path in MODULES} - {"__init__"} == {name for row in ROWS for name in row}


def test_an_upward_and_a_sideways_arrow_are_caught() -> None:
    assert violations(PACKAGE / "linalg" / "lanczos.py", {"scalecurv.measures.rank"}) == ["measures"]
    assert violations(PACKAGE / "store" / "reader.py", {"scalecurv.engine.pool.Pool"}) == ["engine"]


def test_no_rooms_for_what_has_no_name() -> None:
    nameless = {"utils", "helpers", "base", "common", "manager", "handler"}
    assert not [path for path in MODULES if path.stem in nameless]


def test_reading_a_store_loads_neither_torch_nor_ray(tmp_path: Path) -> None:
    program = (
        "import sys; import scalecurv; from scalecurv import cli, plot, summary; from scalecurv.formats import render\n"
        f"store = scalecurv.open_store({str(tmp_path)!r}); render(store.sql('select step from results'), 'json')\n"
        "summary.summary(store); print(sorted({'torch', 'ray'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
