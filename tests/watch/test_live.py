"""`scalecurv watch`: drawn again and again on a terminal, once elsewhere, and what it says to misuse."""

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from scalecurv.store.running import RunningFile
from scalecurv.watch.live import BUSY, bars, watch
from tests.commands import invoke
from tests.watch.stores import NOW, a_sweep, exact, store_checkpoint


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def store(tmp_path: Path) -> Path:
    store_checkpoint(tmp_path / "store", 0, {"loss": exact(1.0)})
    return tmp_path / "store"


def frames(text: str) -> list[str]:
    """Return what a terminal showed, frame by frame, without colours."""
    plain = re.sub(r"\x1b\[[0-9;?]*m", "", text)
    return [frame for frame in re.split(r"(?:\r?\x1b\[[0-9;?]*[A-Zlh])+", plain) if frame.strip()]


def test_it_is_drawn_again_as_the_store_grows(store: Path) -> None:
    stream, slept = Terminal(), []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt
        store_checkpoint(store, len(slept), {"loss": exact(2.0 + len(slept))})

    console = Console(file=stream, force_terminal=True, width=80, height=24)
    with pytest.raises(KeyboardInterrupt):
        watch(store, interval=0.25, console=console, sleep=sleep)
    shown = frames(stream.getvalue())
    assert [re.findall(r"loss +\S+ (\S+)", frame) for frame in shown] == [["1"], ["3"], ["4"], ["4"]]  # the last stays
    assert [re.findall(r"(\d) checkpoint", frame) for frame in shown] == [["1"], ["2"], ["3"], ["3"]]
    assert min(slept) >= 0.25


def test_a_slow_store_is_looked_at_less_often(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0.0, 3.0])
    monkeypatch.setattr("scalecurv.watch.live.time.monotonic", lambda: next(ticks))
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        raise KeyboardInterrupt

    console = Console(file=Terminal(), force_terminal=True)
    with pytest.raises(KeyboardInterrupt):
        watch(store, interval=2.0, console=console, sleep=sleep)
    assert slept == [BUSY * 3.0]


def test_ctrl_c_ends_it_with_0(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("scalecurv.watch.live.watch", interrupted)
    assert (invoke("watch", store).exit_code, invoke("watch", store).output) == (0, "")


def test_a_pipe_gets_one_frame_of_plain_text(store: Path) -> None:
    lines = invoke("watch", store).stdout.splitlines()
    assert lines[0] == str(store)
    assert lines[1] == "1 checkpoint(s): 1 ok"
    assert lines[-2:] == ["a  1 ok  step 0", "  loss ▄ 1"]
    assert all(line == line.rstrip() and "\x1b" not in line for line in lines)
    assert invoke("watch", store, "--once").stdout.splitlines()[3:] == lines[3:]


def test_quantities_are_chosen(store: Path) -> None:
    store_checkpoint(store, 1, {"loss": exact(1.0), "beta": exact(0.5), "mine": exact(3.0)})
    for given in (("--quantity", "beta", "--quantity", "mine"), ("--quantity", "beta,mine")):
        lines = invoke("watch", store, *given).stdout.splitlines()
        assert [line.split()[0] for line in lines if line.startswith("  ")] == ["beta", "mine"]
    wrong = invoke("watch", store, "--quantity", "lamda_max")
    advice = f'`scalecurv query {store} "select name from quantities"` lists those that it may hold'
    assert (wrong.exit_code, wrong.stderr) == (2, f"scalecurv: {store} holds no quantity lamda_max; {advice}\n")
    assert "trace" in invoke("query", store, "select name from quantities").stdout
    assert invoke("watch", store, "--quantity", "principal_max").exit_code == 0  # it may come


def test_misuse(store: Path, tmp_path: Path) -> None:
    for interval in ("0", "-1", "nan", "inf"):
        result = invoke("watch", store, "--interval", interval)
        assert (result.exit_code, result.stderr) == (
            2,
            f"scalecurv: --interval is {float(interval):g}; it must be positive and finite\n",
        )
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    assert "holds files but no store" in invoke("watch", tmp_path / "mine").stderr
    assert invoke("watch", tmp_path / "none").stdout.splitlines()[1].startswith("is not there yet")


def test_sweeps_are_looked_for_at_each_look(store: Path) -> None:
    file = RunningFile(store)
    file.write(a_sweep(host="far", written=NOW))
    assert "nothing was heard of the sweep of process" in invoke("watch", store).stdout
    file.remove()
    assert "nothing is running" in invoke("watch", store).stdout


def test_bars_give_way_to_what_others_print(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, out = Terminal(), io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setenv("COLUMNS", "80")
    with bars() as show:
        show(a_sweep())
        print("a warning", file=sys.stderr)
        print("an answer")
        show(a_sweep(done=60))
    assert out.getvalue() == "an answer\n"
    text = stream.getvalue()
    assert "a warning" in text
    assert text.index("36/60") < text.index("a warning") < text.rindex("60/60")


def test_watching_loads_neither_torch_nor_ray(store: Path) -> None:
    program = (
        "import sys; from scalecurv.cli.main import main\n"
        f"main(['watch', {str(store)!r}, '--once'], standalone_mode=False)\n"
        "print(sorted({'torch', 'ray', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
