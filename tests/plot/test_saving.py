"""Pictures as files: the named format, the same bytes twice, one line for every misuse."""

import errno
from pathlib import Path

import numpy as np
import pytest

import scalecurv as sc
from scalecurv.errors import Misuse
from scalecurv.plot.canvas import figure_of, remarks
from tests.plot.frames import frame, study

MAGIC = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}


def test_the_suffix_is_the_format_and_the_bytes_are_the_same_twice(tmp_path: Path) -> None:
    for suffix, magic in MAGIC.items():
        files = []
        for name in ("first", "second"):
            axes = sc.plot.trajectories(study(), "lambda_max", intervals="band")
            files.append(sc.plot.save(axes, tmp_path / f"{name}{suffix}").read_bytes())
        assert files[0].startswith(magic)
        assert files[0] == files[1], suffix
        assert b"2026-" not in files[0]
    assert b"/FontFile2" in (tmp_path / "first.pdf").read_bytes()  # TrueType, which editors can change


def test_size_and_resolution(tmp_path: Path) -> None:
    axes = sc.plot.trajectories(study(), "loss")
    path = sc.plot.save(axes, tmp_path / "x.PNG", dpi=50, size=(3.3, 2))
    header = path.read_bytes()[16:24]
    assert (int.from_bytes(header[:4], "big"), int.from_bytes(header[4:], "big")) == (165, 100)


def test_arrays_and_figures_are_saved_too(tmp_path: Path) -> None:
    panels = sc.plot.trajectories(study(), ["loss", "lambda_max"])
    assert (
        sc.plot.save(panels, tmp_path / "a.svg").read_bytes()
        == sc.plot.save(figure_of(panels[0]), tmp_path / "b.svg").read_bytes()
    )


def test_letters_of_no_font_are_said(tmp_path: Path) -> None:
    axes = sc.plot.trajectories(frame([0, 1], loss=[1.0, 2.0]), "loss", title="\U00013000 run")
    sc.plot.save(axes, tmp_path / "x.png")
    assert remarks(figure_of(axes)) == [
        "1 character(s) are in no font here: give a style with font.family: NAME OF A FONT"
    ]


def test_misuse_is_one_line(tmp_path: Path) -> None:
    axes = sc.plot.trajectories(study(), "loss")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").touch()
    advice = "give a file that ends in .png, .pdf or .svg"
    cases = (
        (axes, tmp_path / "x.gif", {}, f"{tmp_path / 'x.gif'} ends in '.gif'; {advice}"),
        (axes, tmp_path / "x", {}, f"{tmp_path / 'x'} ends in ''; {advice}"),
        (axes, tmp_path / "no" / "x.png", {}, f"the folder {tmp_path / 'no'} does not exist; make it with: mkdir -p "),
        (axes, tmp_path / "file" / "x.png", {}, f"the folder {tmp_path / 'file'} does not exist; "),
        (axes, tmp_path / "folder.png", {}, f"{tmp_path / 'folder.png'} is a folder; give the file to write"),
        (axes, tmp_path / "x.png", {"dpi": 1e6}, "dpi is 1e+06; give dots per inch from 20 to 2400"),
        (axes, tmp_path / "x.png", {"size": (1e9, 2)}, "the size is 1e+09x2; give width and height in inches"),
        ("text", tmp_path / "x.png", {}, "str cannot be saved; give the Axes that a picture returned, or an array"),
        (np.array([]), tmp_path / "x.png", {}, "ndarray cannot be saved; give the Axes that a picture returned"),
    )
    for thing, path, options, said in cases:
        with pytest.raises(Misuse) as caught:
            sc.plot.save(thing, path, **options)
        assert str(caught.value).startswith(said)
        assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.png"]


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="png cannot be written"):
        sc.plot.save(sc.plot.trajectories(study(), "loss"), _full(tmp_path))


def _full(folder: Path) -> Path:
    path = folder / "x.png"
    path.symlink_to("/dev/full")
    return path


@pytest.mark.filterwarnings("error")
def test_numbers_at_the_ends_of_floats_are_drawn_or_left_out(tmp_path: Path) -> None:
    for values in ([1e308, -1e308, np.inf, 1.0], [5e-324, 1e-323, 0.0, 1.0], [np.nan, np.inf, -np.inf, 2.0]):
        ends = (values, [*values[:3], -1.7e308], [*values[:3], 1.7e308])
        rows = frame([0, 1, 2, 3], loss=ends, scalar_curvature=ends)
        for scale in ("auto", "log", "symlog", "linear"):
            sc.plot.save(sc.plot.trajectories(rows, "loss", yscale=scale), tmp_path / "x.png", dpi=30)
        for draw in (sc.plot.compare, sc.plot.chain):
            sc.plot.save(draw(rows, "loss") if draw is sc.plot.compare else draw(rows), tmp_path / "x.png", dpi=30)
        tidy = rows[["checkpoint", "run", "step"]].assign(component="fc", quantity="trace", value=values)
        sc.plot.save(sc.plot.layers(tidy.assign(lower=ends[1], upper=ends[2])), tmp_path / "x.png", dpi=30)


def test_the_old_file_stays_where_the_disk_is_full_and_a_link_stays_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    axes, old, link = sc.plot.trajectories(study(), "loss"), tmp_path / "old.png", tmp_path / "link.png"
    old.write_bytes(b"old")
    link.symlink_to(old)
    real = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        real(path, content[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(Misuse, match=r"link.png cannot be written \(No space left on device\); make room"):
        sc.plot.save(axes, link)
    assert old.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.png", "old.png"]
    monkeypatch.undo()
    sc.plot.save(axes, link)
    assert link.is_symlink()
    assert old.read_bytes().startswith(MAGIC[".png"])


def test_no_picture_takes_all_memory_and_no_name_is_too_long(tmp_path: Path) -> None:
    axes = sc.plot.trajectories(study(), "loss")
    with pytest.raises(Misuse, match="would have 240,000 x 240,000 pixels; give a smaller size or dpi"):
        sc.plot.save(axes, tmp_path / "x.png", dpi=2400, size=(100, 100))
    with pytest.raises(Misuse, match="File name too long"):
        sc.plot.save(axes, tmp_path / f"{'x' * 300}.png")
