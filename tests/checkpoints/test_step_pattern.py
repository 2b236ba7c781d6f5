"""A user's own pattern: what it reads from paths, and the line that tells what is wrong with it."""

from pathlib import Path

import pytest

from scalecurv.checkpoints.step_pattern import Label, StepPattern
from scalecurv.errors import Misuse

ROOT = Path("/runs")
FOUND: list[tuple[str, str, Label | None]] = [
    (r"it(\d+)", "a/weights_it00050.pt", Label(50)),
    (r"it(?P<step>\d+)", "a/it5/it7.pt", Label(5)),  # the first match
    (r"^a/it(?P<step>\d+)[.]pt$", "a/it7.pt", Label(7)),  # from below the root to the suffix
    (r"(?P<step>[\d.]+[km]?)[.]pt", "2k.pt", Label(2000)),
    (r"(?P<step>[\d.]+[km]?)[.]pt", "1.5k.pt", Label(1500)),
    (r"(?P<step>\d+M)", "3M.pt", Label(3_000_000)),
    (r"(?P<step>.*)[.]pt", "1e3.pt", Label(1000)),
    (r"(?P<step>\d+)", "9007199254740993.pt", Label(2**53 + 1)),  # no float has it
    (r"(?P<epoch>\d+[.]\d+)", "a_2.5.pt", Label(None, 2.5)),
    (r"e(?P<epoch>\d+)(?:_s(?P<step>\d+))?", "e3.pt", Label(None, 3.0)),
    (r"(?P<run>lr[\d.]+/s\d)/.*?(?P<step>\d+)[.]pt", "lr0.1/s2/w_5.pt", Label(5, None, "/runs/lr0.1/s2")),
    (r"(?P<run>lr[\d.]+)_", "lr0.1_it5.pt", Label(run="/runs/lr0.1")),
    (r"(a|b)/(?P<step>\d+)", "b/6.pt", Label(6)),
    (r"step_(\d+)", "a/it5.pt", None),
    (r"runs", "a/it5.pt", None),  # not in the path above
]


def test_what_it_reads() -> None:
    for text, path, label in FOUND[:-1]:
        assert StepPattern.compiled(text).label(ROOT / path, [ROOT]) == label, text
    assert StepPattern.compiled("(runs)").label(ROOT / "a/it5.pt", [ROOT]) is None


def test_a_pattern_that_is_none() -> None:
    for text, message in {
        "it(": "--step-pattern 'it(' is no regular expression (missing ), unterminated subpattern at position 2); ",
        "": "--step-pattern '' has no group; give --step-pattern REGEX with (?P<step>\\d+)",
        "it": "--step-pattern 'it' has no group; give ",
        "(a)(b)": "--step-pattern '(a)(b)' has 2 groups without a name; give ",
        "(?P<lr>a)": "--step-pattern '(?P<lr>a)' names a group lr; its groups may be step, epoch, run",
    }.items():
        with pytest.raises(Misuse) as caught:
            StepPattern.compiled(text)
        assert str(caught.value).startswith(message)


def test_a_group_that_is_no_number() -> None:
    for text, name, end in [
        ("step_(.*)[.]", "step_abc.pt", "the group step is 'abc' in /runs/step_abc.pt; it must match a number"),
        ("(?P<epoch>.*)[.]", "x.pt", "the group epoch is 'x' in /runs/x.pt; it must match a number"),
        ("(.*)[.]pt", "1.5.pt", "the group step is '1.5' in /runs/1.5.pt; it must match a whole number"),
        ("(.*)[.]pt", f"{2**63}.pt", f"the group step is '{2**63}' in /runs/{2**63}.pt; it must match a whole number"),
        ("(.*)[.]pt", "1e999.pt", "the group step is '1e999' in /runs/1e999.pt; it must match a whole number"),
    ]:
        with pytest.raises(Misuse) as caught:
            StepPattern.compiled(text).label(ROOT / name, [ROOT])
        assert str(caught.value).removesuffix(" below 2^63") == f"--step-pattern '{text}': {end}"
