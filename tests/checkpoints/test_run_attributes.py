"""Attributes of runs: patterns in paths, run.json, and the line that tells what is wrong with either."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from scalecurv.checkpoints.run_attributes import (
    LARGEST,
    RunAttributes,
    attribute_patterns,
    value_of,
    written_attributes,
)
from scalecurv.errors import Misuse


def test_what_patterns_find() -> None:
    for pattern, run, value in [
        (r"lr([\d.]+)", "/lr1/lr0.1_s3", 0.1),  # the last match
        (r"lr=(\S+?)_", "/lr=1e-3_x", 0.001),
        (r"lr(\.\d+)", "/lr.1", 0.1),
        (r"s\d+", "/lr0.1_s3", "s3"),  # no group: the whole match
        (r"s(\d+)", "/lr0.1_s3", 3),
        (r"_(adam|sgd)", "/a_sgd", "sgd"),
        (r"_(?:adam|sgd)_(\d)", "/a_sgd_4", 4),
        (r"(x)?s3", "/s3", None),  # the group takes no part
        (r"lr(\d+)", "/a", None),
    ]:
        assert RunAttributes.compiled({"name": pattern}).of(run) == ({} if value is None else {"name": value}), pattern


def test_numbers_are_numbers_and_the_rest_is_text() -> None:
    for text, value in [
        ("7", 7), ("007", 7), ("-3", -3), ("0.1", 0.1), (".1", 0.1), ("1.", 1.0), ("1e-3", 0.001), ("1E5", 1e5),
        ("+2", 2), ("1e999", "1e999"), ("nan", "nan"), ("inf", "inf"), ("1_000", "1_000"), ("0x10", "0x10"),
        ("1e5a", "1e5a"), ("", ""), (str(2**63), str(2**63)), (str(2**63 - 1), 2**63 - 1),
    ]:  # fmt: skip
        assert value_of(text) == value, text
        assert type(value_of(text)) is type(value), text


def test_words_of_the_command_line() -> None:
    assert attribute_patterns(["lr=lr=(.*)", "seed=s(.)"]) == {"lr": "lr=(.*)", "seed": "s(.)"}
    for words, message in [
        (["lr"], "--run-attr 'lr' is not of the form NAME=REGEX; give it as in --run-attr 'lr=lr([0-9.]+)'"),
        (["lr="], "--run-attr 'lr=' is not of the form NAME=REGEX; "),
        (["lr=a", "lr=b"], "--run-attr lr is given twice; put both patterns into one, as a|b"),
    ]:
        with pytest.raises(Misuse) as caught:
            attribute_patterns(words)
        assert str(caught.value).startswith(message)


def test_patterns_that_are_none_or_find_no_run() -> None:
    for name, pattern, message in [
        ("learning rate", "a", "--run-attr learning rate=a: 'learning rate' is no name of a column; use letters, "),
        ("2lr", "a", "--run-attr 2lr=a: '2lr' is no name of a column; "),
        ("lr", "a(", "--run-attr lr=a( is no regular expression (missing ), unterminated subpattern at position 1)"),
        ("lr", "(a)(b)", "--run-attr lr=(a)(b) has 2 groups; mark all but one with (?:...)"),
    ]:
        with pytest.raises(Misuse) as caught:
            RunAttributes.compiled({name: pattern})
        assert str(caught.value).startswith(message)
    attributes = RunAttributes.compiled({"lr": r"lr(\d+)"})
    assert attributes.unmatched(["/lr1", "/lr2"]) == []
    assert attributes.unmatched(["/lr1", "/b"]) == ["--run-attr lr is not found in 1 of 2 runs: /b"]
    assert attributes.unmatched(["/lr1", *"abcde"])[0].endswith("5 of 6 runs: a, b, c, ...")
    with pytest.raises(
        Misuse, match=r"^--run-attr lr=lr\(\\d\+\) is found in no path of 2 run\(s\), such as /a; give "
    ):
        attributes.unmatched(["/a", "/b"])


def write(folder: Path, content: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def test_a_run_json_becomes_flat(tmp_path: Path) -> None:
    content = {
        "lr": 0.1,
        "opt": {"name": "sgd", "betas": [0.9, 0.99], "wd": "1e-4", "nested": {"deep": True}},
        "weight-decay": None,
        "1st": 1,
        "log.dir": "x",
        "empty": {},
        "loss": float("nan"),
        "clip": float("inf"),
    }
    assert written_attributes(write(tmp_path, content), tmp_path) == {
        "lr": 0.1,
        "opt_name": "sgd",
        "opt_betas": "[0.9, 0.99]",
        "opt_wd": 1e-4,
        "opt_nested_deep": True,
        "weight_decay": None,
        "_1st": 1,
        "log_dir": "x",
        "loss": None,  # as text it would make a text of the column in all runs
        "clip": "Infinity",
    }


def test_the_nearest_run_json_below_the_given_directory_counts(tmp_path: Path) -> None:
    write(tmp_path, {"from": "above"})
    write(tmp_path / "runs", {"from": "root"})
    write(tmp_path / "runs" / "a", {"from": "a"})
    for folder, said in [("a/checkpoints", "a"), ("a", "a"), ("b", "root"), (".", "root")]:
        found = written_attributes(tmp_path / "runs" / folder, tmp_path / "runs")
        assert found == {"from": said}
    assert written_attributes(tmp_path / "runs" / "b", tmp_path / "runs" / "b") == {}


def test_a_run_json_that_is_none(tmp_path: Path) -> None:
    for content, message in [
        ("[1]", ' holds a list; it must be an object, as {"lr": 0.1, "seed": 3}'),
        ("{", " cannot be read as JSON: "),
        ("[" * 100_000, " cannot be read as JSON: "),
        ('{"a":' * 900 + "1" + "}" * 900, ""),
        (
            json.dumps({"x": "y" * LARGEST}),
            " has 262,153 bytes, more than 262,144; keep the settings of the run in it only",
        ),
        ({"a_b": 1, "a": {"b": 2}}, ": a_b and a.b make one column a_b; rename one of them"),
        ({"LR": 1, "lr": 2}, ": LR and lr make one column lr; rename one of them"),
    ]:
        folder = write(tmp_path, content)
        try:
            written_attributes(folder, folder)
            said = f"{folder / 'run.json'}"
        except Misuse as error:
            said = str(error)
        assert said.startswith(f"{folder / 'run.json'}{message}"), said
        assert "\n" not in said


def test_a_run_json_that_leads_to_no_file_is_misuse_and_a_byte_order_mark_is_none(tmp_path: Path) -> None:
    write(tmp_path, {"lr": 1})
    makers: dict[str, Callable[[Path], object]] = {
        "directory": Path.mkdir,
        "pipe": os.mkfifo,
        "broken": lambda file: file.symlink_to("/nowhere/run.json"),
        "loop": lambda file: file.symlink_to("run.json"),
    }
    for name, make in makers.items():
        file = tmp_path / name / "run.json"
        file.parent.mkdir()
        make(file)
        with pytest.raises(Misuse) as caught:
            written_attributes(file.parent, tmp_path)  # the one above does not stand in for it
        assert str(caught.value).startswith(f"{file} leads to no file; write the settings of the run into it, or ")
    (tmp_path / "run.json").write_bytes(b'\xef\xbb\xbf{"opt": "\xc3\xa9"}')
    assert written_attributes(tmp_path, tmp_path) == {"opt": "é"}
