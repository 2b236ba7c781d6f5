"""Patterns of the checkpoints to take and to leave out: of names, of folders, of paths below what was given."""

from pathlib import Path, PurePath

import pytest

from scalecurv.checkpoints.discover import Globs, discover
from scalecurv.errors import Misuse, NothingFound
from scalecurv.sweeps.options import globs_of

FILES = ("a/step_1.pt", "a/step_2.pt", "a/swa.pt", "b/old/step_1.pt", "b/step_10.pt", "top.pt")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def found(runs: Path, include: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> list[str]:
    return [p.relative_to(runs.resolve()).as_posix() for p in discover([runs], globs=Globs(include, exclude))]


@pytest.mark.parametrize(
    ("include", "exclude", "wanted"),
    [
        (("step_*.pt",), (), {"a/step_1.pt", "a/step_2.pt", "b/old/step_1.pt", "b/step_10.pt"}),
        (("a",), (), {"a/step_1.pt", "a/step_2.pt", "a/swa.pt"}),
        (("a/*",), ("swa*",), {"a/step_1.pt", "a/step_2.pt"}),
        ((), ("old", "top.pt"), {"a/step_1.pt", "a/step_2.pt", "a/swa.pt", "b/step_10.pt"}),
        ((), ("b/old/",), {"a/step_1.pt", "a/step_2.pt", "a/swa.pt", "b/step_10.pt", "top.pt"}),
        (("**/step_1.pt", "top.pt"), (), {"a/step_1.pt", "b/old/step_1.pt", "top.pt"}),
        (("step_[12].pt",), ("b/*",), {"a/step_1.pt", "a/step_2.pt"}),
    ],
)
def test_names_folders_and_paths(
    runs: Path, include: tuple[str, ...], exclude: tuple[str, ...], wanted: set[str]
) -> None:
    assert set(found(runs, include, exclude)) == wanted


def test_a_file_that_was_given_is_left_out_too(runs: Path) -> None:
    """As a shell's *.pt gives it."""
    given = [runs / name for name in ("a/step_1.pt", "a/swa.pt")]
    assert discover(given, globs=Globs(exclude=("swa.pt",))) == [runs.resolve() / "a/step_1.pt"]


def test_a_link_stays_where_what_it_leads_to_is_left_out(runs: Path) -> None:
    (runs / "a/best.pt").symlink_to("step_2.pt")
    assert "a/best.pt" not in found(runs)
    assert "a/best.pt" in found(runs, exclude=("step_2.pt",))


def test_patterns_that_leave_nothing_say_what_is_there(runs: Path) -> None:
    with pytest.raises(NothingFound) as caught:
        found(runs, include=("x y",), exclude=("z",))
    assert str(caught.value) == (
        f"--include 'x y' --exclude z leaves none of 6 checkpoint(s) in {runs}: a/step_1.pt, a/step_2.pt, a/swa.pt, "
        f"b/old/step_1.pt, b/step_10.pt, top.pt"
    )


def test_a_pattern_is_a_text(runs: Path) -> None:
    assert globs_of({"include": "a", "exclude": ["b", "c"]}) == Globs(("a",), ("b", "c"))
    assert globs_of({"include": (), "exclude": None}).take(PurePath("x.pt"))
    for wrong in ("", 3):
        with pytest.raises(Misuse) as caught:
            globs_of({"include": (), "exclude": [wrong]})
        assert str(caught.value) == f"--exclude is {wrong!r}; give a pattern of names, such as 'step_*.pt'"
