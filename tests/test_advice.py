"""Each option that a message on a checkpoint advises leads to an answer, and not to the next message."""

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.commands import analyze
from tests.runs import WIDTHS, write_run

OPTION = re.compile(r"--(?:weights|ignore|exclude) (?:'[^']*'|[^\s;,']+)")
FACTORY = "advised_net:make"


@pytest.fixture(scope="module", autouse=True)
def _net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("nets")
    a, b, c = WIDTHS
    code = (
        f"from torch import nn\ndef make(): return nn.Sequential(nn.Linear({a}, {b}), nn.ReLU(), nn.Linear({b}, {c}))"
    )
    (folder / "advised_net.py").write_text(code)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield


def state(seed: int, prefix: str = "") -> dict[str, Tensor]:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(WIDTHS[0], WIDTHS[1]), nn.ReLU(), nn.Linear(WIDTHS[1], WIDTHS[2]))
    return {prefix + name: tensor for name, tensor in net.state_dict().items()}


CASES: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "two networks": (lambda: {"generator": state(0), "discriminator": state(1)}, ()),
    "a key with a space": (lambda: {"nets": {"the net": state(0), "b": state(1)}}, ()),
    "no such key": (lambda: {"state_dict": state(0)}, ("--weights", "ema")),
    "student and teacher": (lambda: state(0, "student.") | state(1, "teacher."), ()),
    "wrapped student and teacher": (lambda: state(0, "module.student.") | state(1, "module.teacher."), ()),
    "three that fit": (lambda: state(0, "a.") | state(1, "b.") | state(2, "c."), ("--model", FACTORY)),
    "G and D": (lambda: state(0, "netG.") | state(1, "netD."), ("--model", FACTORY)),
    "twice, wrapped and not": (lambda: state(0) | state(0, "module."), ()),
    "a norm": (lambda: state(0) | {"1.weight": torch.ones(5), "1.bias": torch.ones(5)}, ()),
    "a scale": (lambda: state(0) | {"log it's": torch.ones(())}, ()),
    "a metric": (lambda: state(0) | {"acc.value": torch.tensor(float("nan"))}, ()),
    "a graph": (lambda: state(0) | {"graph": torch.eye(3).to_sparse()}, ()),
    "no tensors": (lambda: {"epoch": 3}, ()),
}


@pytest.mark.parametrize("name", CASES)
def test_an_advised_option_leads_to_an_answer(tmp_path: Path, name: str) -> None:
    content, options = CASES[name]
    run = write_run(tmp_path / "run", [1])
    torch.save(content(), run / "step_2.pt")
    if options[:1] == ("--model",):
        (run / "problem.json").write_text('{"data": "data.npz", "loss": "cross_entropy"}')
    refused = analyze(run, tmp_path / "store", "--include", "step_2.pt", *options)
    assert refused.exit_code == 1, refused.output
    line = refused.stderr.splitlines()[-1]
    advised = OPTION.findall(line.replace("--weights ema", ""))
    assert advised, line
    words = shlex.split(advised[0])
    first = () if words[0] == "--exclude" else ("--include", "step_2.pt")  # without it, the other one is there
    kept = () if options[:1] == ("--weights",) else options
    answered = analyze(run, tmp_path / "store", *first, *kept, *words)
    assert answered.exit_code == 0, answered.output
    assert answered.stdout.startswith("1 of 1 checkpoint(s) stored"), answered.output
