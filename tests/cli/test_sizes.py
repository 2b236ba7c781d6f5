"""Sizes as people write them, everywhere that --memory is."""

from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalecurv.cli.main import main
from scalecurv.cli.sizes import bytes_of
from tests.commands import invoke

SIZES = {
    "0": 0,
    "7": 7,
    "7B": 7,
    "1e9": 10**9,
    "1.5e9": 15 * 10**8,
    "2KB": 2000,
    "2kb": 2000,
    "2 KiB": 2048,
    "2GB": 2 * 10**9,
    "2 GB": 2 * 10**9,
    "2G": 2 * 10**9,
    "500M": 500 * 10**6,
    "2Gi": 2 << 30,
    " 2gib ": 2 << 30,
    "1.5MiB": 3 << 19,
    ".5TB": 5 * 10**11,
    "1.TiB": 1 << 40,
    "-1": -1,
    str(2**80 + 1): 2**80 + 1,
}


def test_sizes() -> None:
    assert {text: bytes_of(text) for text in SIZES} == SIZES


@given(
    st.integers(0, 10**6),
    st.sampled_from("kmgt"),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["", " "]),
    st.sampled_from(["", "b"]),
)
def test_every_unit_is_a_power(number: int, letter: str, binary: bool, upper: bool, space: str, b: str) -> None:
    unit = f"{letter}{'i' if binary else ''}{b}"
    power = "kmgt".index(letter) + 1
    expected = number * (1024**power if binary else 1000**power)
    assert bytes_of(f"{number}{space}{unit.upper() if upper else unit}") == expected


@pytest.mark.parametrize(
    "text", ["2 Gii", "GB", "G", "2PB", "much", "", "1,5GB", "2GB2", "nan", "inf", "1e999", "0x10"]
)
def test_what_is_no_size_is_one_line(tmp_path: Path, text: str) -> None:
    for words in (["analyze", "run", "store"], ["rank", "step_0.pt"], ["planes", "run"], ["submit", "run", "store"]):
        result = invoke(*words, "--memory", text)
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1), words
        assert result.stderr.startswith(f"scalecurv: --memory: {text!r} is ")
        assert result.stderr.endswith(
            "; give bytes, or a number with K, M, G, T (powers of 1000) or Ki, Mi, Gi, Ti (powers of 1024), such as "
            "2G or 2GiB\n"
        )


def test_commands_take_sizes_and_bytes() -> None:
    for name in ("analyze", "submit", "rank", "planes"):
        command = main.commands[name]
        for words, expected in (([], None), (["--memory", "2G"], 2 * 10**9), (["--memory", "1234"], 1234)):
            context = command.make_context(name, ["a", "b"][: 1 if name in ("rank", "planes") else 2] + words)
            assert isinstance(context, click.Context)
            assert context.params["memory"] == expected
