"""Draw the pictures of the site: those that blocks of the tour save, and one for each script of examples/gallery.

`make docs` runs this program. Each picture is drawn by the very lines that the page shows. docs/pictures/ is part of
the repository, so that its browser shows the pages whole; a picture whose pixels are the same is not written again.
"""

import os
import runpy
import sys
import tempfile
from pathlib import Path

import gallery_page
import matplotlib
import numpy as np
from PIL import Image

import scalecurv

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

from tests.doc_blocks import blocks_of  # noqa: E402 the path comes first

PICTURES = HERE / "pictures"
FIRST = HERE / "curvature.png"  # of README.md and the first page of the site


def from_page(page: Path) -> None:
    """Run the Python of a page from top to bottom; the current folder has its pictures then."""
    names = {"__name__": page.stem}
    for block in blocks_of(page):
        if block.language == "python" and not block.reason:
            exec(compile(block.text, str(page), "exec"), names)


def from_script(script: Path, folder: Path) -> None:
    """Run a script of the gallery as from a shell, with a store and the name of the picture."""
    sys.argv = [str(script), str(gallery_page.GALLERY / "store"), str(folder / gallery_page.picture(script))]
    runpy.run_path(str(script), run_name="__main__")


def small(path: Path) -> Image.Image:
    """Return a picture in 256 colours, which lines and areas can do with: a third of the bytes."""
    return Image.open(path).convert("RGB").quantize(256, dither=Image.Dither.NONE)


def same(one: Image.Image, path: Path) -> bool:
    """Return whether the picture in a file has the same pixels."""
    return path.is_file() and np.array_equal(
        np.asarray(one.convert("RGB")), np.asarray(Image.open(path).convert("RGB"))
    )


def main() -> None:
    """Draw all pictures in a folder of their own, then take those that changed."""
    matplotlib.use("agg")
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "examples").symlink_to(ROOT / "examples")
        os.chdir(folder)
        from_page(HERE / "tour.md")
        for script in gallery_page.scripts():
            from_script(script, folder)
        digits = scalecurv.open_store(gallery_page.GALLERY / "digits")
        scalecurv.plot.save(scalecurv.plot.trajectories(digits, where="rank is not null"), folder / FIRST.name)
        for drawn in sorted(folder.glob("*.png")):
            picture, path = small(drawn), FIRST if drawn.name == FIRST.name else PICTURES / drawn.name
            if not same(picture, path):
                picture.save(path, optimize=True)
                print(f"drew {path.relative_to(ROOT)}, {path.stat().st_size / 1000:.0f} kB")
        os.chdir(HERE)


if __name__ == "__main__":
    main()
