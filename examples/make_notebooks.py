"""Make the notebooks of this folder from their scripts in the percent format: every cell is run.

python examples/make_notebooks.py    # needs the extra `notebooks`; no network
"""

from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
NAMES = ("first_look",)
SECONDS = 300  # that a cell may take


def cells_of(name: str) -> nbformat.NotebookNode:
    """Return the notebook of a script, without outputs; a cell is known by its number."""
    notebook = jupytext.read(FOLDER / f"{name}.py")
    for i, cell in enumerate(notebook.cells):
        cell.id = f"cell-{i}"
        cell.metadata = {}
    return notebook


def executed(name: str) -> nbformat.NotebookNode:
    """Return the notebook of a script with its outputs; raises CellExecutionError where a cell does."""
    notebook = cells_of(name)
    NotebookClient(notebook, timeout=SECONDS, resources={"metadata": {"path": str(FOLDER)}}).execute()
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"], "language_info": {"name": "python"}}
    for cell in notebook.cells:
        cell.metadata = {}  # times of this run
    return notebook


if __name__ == "__main__":
    for name in NAMES:
        nbformat.write(executed(name), FOLDER / f"{name}.ipynb")
        print(f"wrote {FOLDER / name}.ipynb")
