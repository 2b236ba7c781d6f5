"""The notebooks are those of their scripts, every cell runs, and what they show are the store's own numbers."""

import base64
import runpy
from io import BytesIO
from pathlib import Path
from typing import Any

import nbformat
import pytest
from matplotlib.image import imread

import scalecurv as sc

FOLDER = Path(__file__).parents[1] / "examples"
MAKER = runpy.run_path(str(FOLDER / "make_notebooks.py"))


def outputs(notebook: nbformat.NotebookNode, kind: str) -> dict[str, str]:
    """Return the last output of this kind of each cell that has one, by the last line of the cell."""
    found = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            assert output["output_type"] == "execute_result", output  # no warning and no error
            if kind in output["data"]:
                found[cell.source.splitlines()[-1].partition("  #")[0]] = output["data"][kind]
    return found


@pytest.fixture(scope="module", name="stored")
def _stored() -> nbformat.NotebookNode:
    return nbformat.read(FOLDER / "first_look.ipynb", as_version=4)


@pytest.fixture(scope="module", name="fresh")
def _fresh() -> nbformat.NotebookNode:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")  # beside other tests, threads would wait for each other
        patch.setenv("PYTHONWARNINGS", "error::DeprecationWarning:__main__")
        return MAKER["executed"]("first_look")


def test_every_notebook_is_that_of_its_script() -> None:
    assert [path.stem for path in sorted(FOLDER.glob("*.ipynb"))] == sorted(MAKER["NAMES"])
    for name in MAKER["NAMES"]:
        stored = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
        nbformat.validate(stored)
        cells = MAKER["cells_of"](name).cells
        assert [(c.id, c.cell_type, c.source) for c in stored.cells] == [(c.id, c.cell_type, c.source) for c in cells]
        assert all(cell.outputs for cell in stored.cells if cell.cell_type == "code"), "run examples/make_notebooks.py"
        assert str(FOLDER.parent) not in (FOLDER / f"{name}.ipynb").read_text()


def test_cells_show_what_they_showed(stored: nbformat.NotebookNode, fresh: nbformat.NotebookNode) -> None:
    """Run every cell anew: outputs have the same kinds, and texts of what is read from the store are the same."""
    for kind in ("text/plain", "text/html", "image/png"):
        assert outputs(fresh, kind).keys() == outputs(stored, kind).keys(), "run examples/make_notebooks.py"
    texts, before = outputs(fresh, "text/plain"), outputs(stored, "text/plain")
    drawn = outputs(fresh, "image/png").keys()  # whose text is the address of an object
    read = [line for line in texts if not line.startswith("sc.") and line not in drawn]
    assert {line: texts[line] for line in read} == {line: before[line] for line in read}
    assert len(read) == 5
    assert len(drawn) == 3


def test_pictures_are_pictures(fresh: nbformat.NotebookNode) -> None:
    for line, png in outputs(fresh, "image/png").items():
        pixels = imread(BytesIO(base64.b64decode(png)))
        assert min(pixels.shape[:2]) > 300, line
        assert len({tuple(pixel) for row in pixels[::7] for pixel in row[::7]}) > 5, line  # drawn on


def test_the_numbers_are_those_of_the_store(fresh: nbformat.NotebookNode) -> None:
    store = sc.open_store(FOLDER / "gallery" / "store")
    text, html = outputs(fresh, "text/plain"), outputs(fresh, "text/html")

    def at(start: str, found: dict[str, str]) -> str:
        (line,) = (line for line in found if line.startswith(start))
        return found[line]

    rows: Any = store.results()
    last = rows[rows["step"] == 10000]
    for name in ("lambda_max", "lambda_max_lower", "lambda_max_upper"):
        for value in last[name]:
            assert f"{value:.6f}" in at("store.sql", text)
    nodes = store.spectrum(step=1000, run="lr0.1_seed0").nodes
    assert f"{nodes.min():.6g} .. {nodes.max():.6g}" in at("rule", html)
    shares = last.assign(share=last["lambda_max"] / last["trace"]).groupby("lr")["share"].mean()
    for share in shares:
        assert f"{share:.6f}" in at("share", text)
    assert "<td>checkpoints</td><td>32</td>" in at("store", {"store": html["store"]})
    assert html["sc.trace(problem)"].startswith("<code>3.77781</code> <svg")
