"""verify, compact and export as a user meets them: lines, exit codes, odd names."""

import fcntl
from pathlib import Path

import pandas as pd
import pytest

from scalecurv.store.labels import LabelChanges, run_row, write_labels
from scalecurv.store.reader import INDEX, parts_of
from scalecurv.store.writer import PARTS, write_part
from tests.commands import invoke
from tests.outcomes import exactly, failure, outcome, record, store_of

RUNS = [outcome(f"/runs/step_{i}.pt", record(f"k{i}", exactly(trace=float(i))), created=float(i)) for i in (1, 2)]


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Path:
    return store_of(tmp_path / "odd name\nof a store", *RUNS)


def test_a_whole_store_is_said_to_be_whole_and_damage_is_named(store: Path) -> None:
    """By the real child: its answers come back whatever the name of the file."""
    odd = parts_of(store)[1].rename(store / PARTS / 'a "part"\n of 2.h5')
    whole = invoke("verify", store)
    assert (whole.exit_code, whole.stdout, whole.stderr) == (0, "2 of 2 file(s) whole\n", "")
    odd.write_bytes(odd.read_bytes()[:-1])
    (store / "old.h5.broken").touch()
    result = invoke("verify", store)
    assert result.exit_code == 1
    assert result.stdout == (
        f"broken: {odd} is no scalecurv file, or it was cut short\n"
        f"set aside earlier: {store / 'old.h5.broken'}\n"
        "1 of 2 file(s) whole\n"
    )
    advice = "run the same `scalecurv analyze` again: it sets broken files aside and redoes their work"
    assert result.stderr == f"scalecurv: {advice}\n"


def test_what_was_set_aside_is_no_error(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    (store / "old.h5.broken").touch()
    result = invoke("verify", store)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"set aside earlier: {store / 'old.h5.broken'}\n0 of 0 file(s) whole\n"


@pytest.mark.parametrize("seconds", ["0", "-1", "nan"])
def test_a_time_that_is_none(store: Path, seconds: str) -> None:
    result = invoke("verify", store, "--seconds", seconds)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"scalecurv: --seconds is {float(seconds)}; it must be positive, and at most 86400\n"


def test_compact_says_what_it_merged_and_what_it_could_not(store: Path) -> None:
    index = store / INDEX
    first = invoke("compact", store)
    assert (first.exit_code, first.stderr) == (0, "")
    assert first.stdout == f"2 part(s) merged, 2 estimates in {index}\n"
    write_part(store, outcome("/runs/step_3.pt", record("k3", exactly(trace=3.0)), created=3.0))
    victim = write_part(store, RUNS[0])
    victim.write_bytes(b"garbage")
    second = invoke("compact", store)
    assert second.exit_code == 1
    assert second.stdout == f"1 part(s) merged, 3 estimates in {index}\n"
    assert second.stderr == f"left out: {victim} is no scalecurv file, or it was cut short\n"
    assert parts_of(store) == [victim]


def test_compact_leaves_it_to_whoever_is_at_it(store: Path) -> None:
    with open(store / ".lock", "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        result = invoke("compact", store)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"scalecurv: another process is merging {store}; nothing to do here\n"
    assert not (store / INDEX).exists()


def test_export_says_what_it_wrote_and_what_it_left_out(store: Path, tmp_path: Path) -> None:
    victim, file = parts_of(store)[0], tmp_path / "results.csv"
    victim.write_bytes(b"garbage")
    result = invoke("export", store, file)
    assert result.exit_code == 0
    assert result.stderr == f"left out: {victim} is no scalecurv file, or it was cut short\n"
    assert result.stdout == f"1 row(s) of results in {file}\n"
    assert pd.read_csv(file)["trace"].tolist() == [2.0]
    tidy = invoke("export", store, file, "--table", "estimates")
    assert tidy.stdout == f"1 row(s) of estimates in {file}\n"
    assert pd.read_csv(file)["key"].tolist() == ["k2"]


@pytest.mark.parametrize("command", ["verify", "compact"])
def test_no_store_is_misuse(tmp_path: Path, command: str) -> None:
    result = invoke(command, tmp_path / "missing")
    advice = "give the directory that `scalecurv analyze` wrote to"
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"scalecurv: {tmp_path / 'missing'} is no store; {advice}\n"


def test_no_code_that_lies_about_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A json.py beside the store, where the command is given."""
    store = store_of(tmp_path / "store", outcome())
    (tmp_path / "json.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    assert invoke("verify", store).exit_code == 0
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("inside", ["store.h5", "parts/x.nc"])
def test_nothing_is_exported_over_the_store(tmp_path: Path, inside: str) -> None:
    store = store_of(tmp_path / "store", outcome())
    before = sorted(path.name for path in store.rglob("*"))
    result = invoke("export", store, store / inside)
    assert result.exit_code == 2
    message = f"{store / inside} lies in the store itself; give a file outside of {store}"
    assert result.stderr == f"scalecurv: {message}\n"
    assert sorted(path.name for path in store.rglob("*")) == before


def test_no_name_moves_the_cursor_or_ends_a_command(tmp_path: Path) -> None:
    name = "a\x1b[2J\udc80<b>"  # a file name of bytes that are no text has such a character
    stored = outcome(f"/runs/{name}/step_1.pt", record("k", exactly(loss=1.0)), step=1)
    store = store_of(tmp_path / "s", stored, failure(f"/runs/{name}/step_2.pt"))
    write_labels(store, LabelChanges(runs=(run_row(f"/runs/{name}", {"kind": name}, 1.0),)))
    for words in (
        ("show", store),
        ("watch", store, "--once"),
        ("report", store, tmp_path / "page.html"),
        ("plot", store, tmp_path / "picture.svg"),
        ("export", store, "--to", "tensorboard", tmp_path / "logs"),
        ("export", store, "--to", "mlflow", tmp_path / "runs"),
    ):
        done = invoke(*words)
        assert done.exit_code == 0, (words, done.output)
        assert "\x1b" not in done.output
