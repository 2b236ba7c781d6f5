"""A training, its analysis with --follow, and a watch: three processes and one store, until one of them is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from scalecurv.store.running import running_sweeps
from tests.commands import HANG, SERIAL, environment, invoke, read_until, start_scalecurv, wait_for
from tests.runs import write_run

LONG = ("--measure", "moments", "--route", "generic", "--rtol", "1e-9", "--max-matvecs", "2000000")  # many minutes


def test_a_watch_beside_a_sweep_that_is_killed(tmp_path: Path) -> None:
    run, store = write_run(tmp_path / "run", [0]), tmp_path / "store"
    done = start_scalecurv("analyze", run, store, "--measure", "gradient", *SERIAL, home=tmp_path / "home")
    assert done.wait(HANG) == 0
    assert list(store.glob("running-*")) == []
    sweep = start_scalecurv("analyze", run, store, "--follow", *LONG, *SERIAL, home=tmp_path / "home")
    try:
        assert wait_for(lambda: any(stage.products for running in running_sweeps(store) for stage in running.stages))
        command = [sys.executable, "-m", "scalecurv", "watch", str(store), "--once"]
        env = environment(tmp_path / "home")
        seen = subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout.splitlines()
        assert seen[1] == "1 checkpoint(s): 1 ok"
        assert [line.split()[0] for line in seen[2:4]] == ["checkpoints", "step_0.pt"]
        assert " of up to " in seen[3]
        assert seen[-1].split()[0] == "loss"
        os.killpg(sweep.pid, signal.SIGKILL)
        sweep.wait()
        after = " ".join(invoke("watch", store, "--once").stdout.split())
        assert f"the sweep of process {sweep.pid} on " in after
        assert "without a word, at 0/1: it was killed; run the same `scalecurv analyze` again" in after
    finally:
        if sweep.poll() is None:
            os.killpg(sweep.pid, signal.SIGKILL)
        sweep.communicate()
    again = invoke("analyze", run, store, "--measure", "gradient,extremes", *SERIAL)  # what was killed leaves no trace
    assert again.exit_code == 0
    assert "nothing is running" in invoke("watch", store).stdout


def test_ctrl_c_leaves_no_file(tmp_path: Path) -> None:
    run, store = write_run(tmp_path / "run", [0]), tmp_path / "store"
    sweep = start_scalecurv("analyze", run, store, *LONG, *SERIAL, "-v", home=tmp_path / "home")
    read_until(sweep, "")
    assert wait_for(lambda: bool(running_sweeps(store)))
    sweep.send_signal(signal.SIGINT)
    _, stderr = sweep.communicate(timeout=HANG)
    assert sweep.returncode == 130
    assert "interrupted" in stderr
    assert list(store.glob("running-*")) == []
