"""`scalecurv forget` as a user meets it: what goes, what is left alone, and the command that brings it back."""

import subprocess
from pathlib import Path

import pytest

from scalecurv.store.reader import FORGOTTEN
from scalecurv.store.writer import PARTS
from tests.commands import invoke
from tests.outcomes import exactly, failure, outcome, record, store_of
from tests.store.forgetting import merged_store


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Path:
    """Seven checkpoints of run a, all but one gone, and one of run b, whose directory is gone."""
    outcomes = [
        outcome(str(tmp_path / "a" / f"step_{i}.pt"), record(f"k{i}", exactly(trace=1.0, loss=2.0))) for i in range(7)
    ]
    (tmp_path / "a").mkdir()
    Path(outcomes[6].path).touch()
    return store_of(merged_store(tmp_path / "odd name", *outcomes), failure(str(tmp_path / "b" / "step_1.pt")))


def test_what_is_missing_goes_and_comes_back(store: Path, tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    left = (
        f"left alone: 1 checkpoint(s) of {b}, of which no file is there (is its disk mounted?); to forget them all the "
        f"same: scalecurv forget '{store}' --missing --run {b}\n"
        f"6 checkpoint(s) of {a}: {', '.join(str(a / f'step_{i}.pt') for i in range(5))}, and 1 more\n"
        "6 checkpoint(s) with 12 estimate(s)"
    )
    dry = invoke("forget", store, "--missing", "--dry-run")
    assert (dry.exit_code, dry.stdout, dry.stderr) == (0, f"{left} would be set aside\n", "")
    done = invoke("forget", store, "--missing")
    (file,) = (store / FORGOTTEN).iterdir()
    way_back = f"mv '{file}' '{store / PARTS}'/"
    assert done.stdout == f"{left} set aside in {file}\nto bring them back: {way_back}\n"
    assert invoke("query", store, "select count(*) as n from results", "--format", "csv").stdout == "n\n2\n"
    assert invoke("verify", store).stdout == "3 of 3 file(s) whole\n"
    subprocess.run(way_back, shell=True, check=True)
    assert invoke("query", store, "select count(*) as n from results", "--format", "csv").stdout == "n\n8\n"


def test_the_run_that_was_left_alone_goes_by_its_name(store: Path, tmp_path: Path) -> None:
    done = invoke("forget", store, "--missing", "--run", tmp_path / "b")
    assert done.stdout.startswith(f"1 checkpoint(s) of {tmp_path / 'b'}: {tmp_path / 'b' / 'step_1.pt'}\n1 checkpoint")
    assert invoke("forget", store, "--missing", "--run", "a", "--task", "t1", "--dry-run").exit_code == 0


def test_nothing_to_do_and_nothing_asked(store: Path) -> None:
    invoke("forget", store, "--run", "a")
    again = invoke("forget", store, "--missing", "--task", "t1")
    assert again.stdout.splitlines()[-1] == "nothing to forget"
    assert "--missing --run " in again.stdout
    assert again.stdout.splitlines()[0].endswith(" --task t1")
    nothing = invoke("forget", store)
    assert (nothing.exit_code, nothing.stdout) == (2, "")
    assert nothing.stderr == "scalecurv: nothing says what to forget; give --missing, --run RUN or --task TASK\n"


def test_damage_is_told(store: Path) -> None:
    victim = sorted((store / PARTS).iterdir())[0]
    victim.write_bytes(b"")
    done = invoke("forget", store, "--run", "a", "--dry-run")
    assert done.stderr == f"left out: {victim} is no scalecurv file, or it was cut short\n"
    invoke("forget", store, "--run", "a")
    (file,) = (store / FORGOTTEN).iterdir()
    victim.unlink()
    file.write_bytes(b"")
    check = invoke("verify", store)
    advice = f"rows that are set aside in a broken file cannot be brought back; delete {file}"
    assert (check.exit_code, check.stderr) == (1, f"scalecurv: {advice}\n")
    assert f"broken: {file} is no scalecurv file" in check.stdout
