"""`scalecurv rank`: an account that adds up, the same numbers as in a store, and one line where there is no answer."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from scalecurv import analysis
from scalecurv.analysis import Analysis
from scalecurv.cli.rank import rank_of
from scalecurv.results.query import open_store
from tests.commands import analyze, invoke
from tests.runs import write_checkpoint, write_data, write_run, write_truncated

DEFAULTS = {
    "model": None,
    "params": None,
    "output": "logits",
    "functional_dimension": True,
    "singular_values": False,
    "rank_samples": None,
    "seed": 0,
    "memory": 2 << 30,
}


@pytest.fixture(scope="module", name="run")
def _run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("rank") / "run")


@pytest.fixture(scope="module", name="lone")
def _lone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint beside data, without a problem.json."""
    folder = tmp_path_factory.mktemp("lone")
    write_data(folder / "data.npz")
    return write_checkpoint(folder / "a.pt", seed=5)


def printed(*arguments: object) -> dict[str, str]:
    """The number on each line by what it is of."""
    result = invoke("rank", *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    rows = [re.split(r"\s{2,}", line.strip()) for line in result.stdout.splitlines() if line]
    return {label: number for label, number, *_ in rows}


@pytest.mark.parametrize("step", range(3))
def test_the_account_adds_up(run: Path, step: int) -> None:
    found = printed(run / f"step_{step}.pt")
    assert found["J, samples x outputs by parameters"] == "60 x 53"
    entries = [
        int(found[name]) for name in found if name == "rank" or re.match(r"(dead|rescaling|data|unexp.*):", name)
    ]
    assert len(entries) == 5
    assert sum(entries) == int(found["Where the parameters go"]) == 53
    assert found["rank of J"].split()[0] == found["rank"]
    assert found["ceiling of the architecture, P - hidden"] == "48"


def test_nothing_is_written(run: Path) -> None:
    before = sorted(run.parent.rglob("*"))
    printed(run / "step_0.pt")
    assert sorted(run.parent.rglob("*")) == before


def test_one_line_less_without_further_inputs(run: Path) -> None:
    whole, less = printed(run / "step_0.pt"), printed(run / "step_0.pt", "--no-functional-dimension")
    assert whole.pop("functional dimension, any inputs") == "48"
    assert less == whole


def test_singular_values_are_printed_where_they_are_asked_for(run: Path) -> None:
    lines = invoke("rank", run / "step_0.pt", "--no-functional-dimension", "--singular-values").stdout.splitlines()
    values = [float(word) for line in lines[lines.index("Singular values") + 1 :] for word in line.split()]
    assert len(values) == 53
    assert values == sorted(values, reverse=True)
    assert "Singular values" not in invoke("rank", run / "step_0.pt", "--no-functional-dimension").stdout


def test_the_rank_of_a_few_samples(run: Path) -> None:
    result = invoke("rank", run / "step_0.pt", "--no-functional-dimension", "--rank-samples", 3)
    assert "modulo 1 prime(s), 3 of 20 samples; at most" in result.stdout
    refused = invoke("rank", run / "step_0.pt", "--activation", "tanh", "--rank-samples", 3)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "rank_samples is for MLPs of homogeneous activations" in refused.stderr.splitlines()[-1]


def test_a_model_without_structure_has_no_account(run: Path) -> None:
    found = printed(run / "step_0.pt", "--activation", "tanh")
    assert found["rank of J"] == "53"
    assert "Where the parameters go" not in found
    declined = {label for label, number in found.items() if number == "not applicable"}
    assert declined == {
        "rank at almost all parameters of the region",
        "functional dimension, any inputs",
        "ceiling of the architecture, P - hidden",
        "margin of the activation pattern",
    }


def test_of_probabilities(run: Path) -> None:
    """Of the 53 - 5 directions 6 move all outputs alike: 5 weights and a bias."""
    found = printed(run / "step_1.pt", "--output", "prob")
    assert 0 < int(found["rank of J"].split()[0]) <= 42
    assert found["functional dimension, any inputs"] == "42"
    assert found["ceiling of the architecture, P - hidden"] == "42"
    assert "Where the parameters go" not in found


@pytest.mark.parametrize("output", ["logits", "prob"])
def test_the_same_numbers_as_in_a_store(run: Path, tmp_path: Path, output: str) -> None:
    """Bit by bit, and under the component softmax where they are of probabilities."""
    asked = ("--measure", "rank", "--functional-dimension", "--output", output, "--seed", 3)
    assert analyze(run, tmp_path / "store", *asked).exit_code == 0
    rows = open_store(tmp_path / "store").sql(
        "select c.path, quantity, component, value, lower, upper, confidence, method, e.status "
        "from estimates e join checkpoints c using (fingerprint)"
    )
    assert set(rows["component"]) == {"softmax" if output == "prob" else ""}
    for path, group in rows.groupby("path"):
        data = {"checkpoint": Path(path), "data": None, "activation": None, "device": "cpu"}
        report = rank_of({**DEFAULTS, **data, "output": output, "seed": 3})
        found, shape = report.estimates, report.shape
        assert shape == (60, 53)
        columns = zip(
            *(group[name] for name in ("quantity", "value", "lower", "upper", "method", "status")), strict=True
        )
        stored = {name: tuple(map(str, rest)) for name, *rest in columns}
        assert stored == {
            name: tuple(map(str, (float(e.value), float(e.lower), float(e.upper), e.method, e.status)))
            for name, e in found.items()
        }


def test_sql_gives_the_printed_numbers(run: Path, tmp_path: Path) -> None:
    assert analyze(run, tmp_path / "store", "--measure", "rank", "--functional-dimension").exit_code == 0
    columns = "rank, rank_generic, account_dead, account_rescaling, account_data_limited, account_unexplained"
    stored = open_store(tmp_path / "store").sql(
        f"select step, {columns}, num_params, functional_dimension_lower from results order by step"
    )
    for step, rank, generic, *account, num_params, shown in stored.values.tolist():
        found = printed(run / f"step_{step}.pt")
        assert rank + sum(account) == num_params == 53
        assert [found["rank"], found["functional dimension, any inputs"]] == [str(rank), str(shown)]
        assert found["rank at almost all parameters of the region"].split()[0] == str(generic)


def test_options_stand_for_a_problem_file(lone: Path) -> None:
    found = printed(lone, "--data", lone.parent / "data.npz", "--activation", "relu")
    assert int(found["rank"]) <= 48
    less = printed(lone, "--data", lone.parent / "data.npz", "--activation", "relu", "--memory", 20_000)
    assert less["rank of J"].startswith(">= ")
    assert less["rank at almost all parameters of the region"] == "not applicable"


MISUSE = [
    ("{run}", (), "{run} is a directory of checkpoints; give one of them, or use scalecurv analyze"),
    ("{run}/nope.pt", (), "{run}/nope.pt does not exist; give a directory of checkpoints, or checkpoint files"),
    ("{run}/step_0.pt", ("--seed", -1), "--seed is -1; it must be from 0 to 2^63 - 1"),
    ("{run}/step_0.pt", ("--seed", 2**63), f"--seed is {2**63}; it must be from 0 to 2^63 - 1"),
    ("{run}/step_0.pt", ("--memory", 0), "memory is 0; it must be at least 1 and finite"),
    (
        "{run}/step_0.pt",
        ("--data", "{lone}/narrow.npz"),
        "{run}/step_0.pt takes 6 inputs but x has 5 a sample, shape (20, 5); give the data that it was trained on",
    ),
    (
        "{lone}/a.pt",
        ("--activation", "relu"),
        "data is given neither by an option nor by {lone}/problem.json; give --data FILE (arrays x and y), or write "
        '{{"data": "data.npz"}} into {lone}/problem.json; for example: scalecurv rank --activation relu --data '
        "data.npz {lone}/a.pt",
    ),
    (
        "{lone}/single.pt",
        ("--data", "{lone}/floats.npz", "--activation", "relu", "--output", "prob"),
        "one output has no probabilities; leave --output out",
    ),
]


@pytest.mark.parametrize(("path", "options", "message"), MISUSE)
def test_misuse_is_one_line(run: Path, lone: Path, path: str, options: tuple[object, ...], message: str) -> None:
    write_data(lone.parent / "narrow.npz", num_inputs=5)
    write_checkpoint(lone.parent / "single.pt", widths=(6, 4, 1))
    np.savez(lone.parent / "floats.npz", x=np.ones((4, 6), np.float32), y=np.ones((4, 1), np.float32))
    names = {"run": run, "lone": lone.parent}
    words = [str(word).format(**names) for word in options]
    result = invoke("rank", path.format(**names), *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"scalecurv: {message.format(**names)}\n"


def test_an_activation_that_nobody_said(lone: Path) -> None:
    result = invoke("rank", lone, "--data", lone.parent / "data.npz")
    assert (result.exit_code, result.stdout) == (2, "")
    assert re.fullmatch(
        r"scalecurv: activation is given neither by an option .*; give --activation relu .*\n", result.stderr
    )


def test_a_file_that_is_no_checkpoint(tmp_path: Path) -> None:
    write_data(tmp_path / "data.npz")
    garbage, cut = tmp_path / "garbage.pt", write_truncated(tmp_path / "cut.pt")
    garbage.write_bytes(b"garbage")
    for path in (garbage, cut):
        result = invoke("rank", path, "--data", tmp_path / "data.npz", "--activation", "relu")
        assert (result.exit_code, result.stdout) == (1, "")
        assert re.fullmatch(rf"scalecurv: {re.escape(str(path))} is no .+\n", result.stderr)


@pytest.mark.parametrize(
    ("device", "message"), [("foo", "unknown --device 'foo'"), ("cuda:7", "--device cuda:7 but torch sees")]
)
def test_a_device_that_is_not_there(run: Path, device: str, message: str) -> None:
    result = invoke("rank", run / "step_0.pt", "--device", device)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert message in result.stderr


def test_weights_whose_loss_is_no_number(lone: Path, tmp_path: Path) -> None:
    """Finite weights of 1e160 overflow in the second layer: one line, as from `analyze`."""
    weights = torch.load(lone, weights_only=True)["model"]
    torch.save({name: 1e160 * weight.double() for name, weight in weights.items()}, tmp_path / "a.pt")
    result = invoke("rank", tmp_path / "a.pt", "--data", lone.parent / "data.npz", "--activation", "relu")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "at these weights" in result.stderr


def test_data_is_taken_as_given(tmp_path: Path) -> None:
    """Points on a line, exact in float64 and rounded in float32: `rank` keeps them, whatever the weights rest in."""
    t = np.random.default_rng(0).integers(-(2**30), 2**30, 20).astype(float)[:, None]
    np.savez(tmp_path / "line.npz", x=t * [1.0, -3, 2, 3, 5, 7], y=np.zeros(20, dtype=int))
    write_checkpoint(tmp_path / "a.pt")
    weights = torch.load(tmp_path / "a.pt", weights_only=True)["model"]
    torch.save({name: weight.double() for name, weight in weights.items()}, tmp_path / "b.pt")
    options = ("--data", tmp_path / "line.npz", "--activation", "relu")
    single, double = (printed(tmp_path / name, *options) for name in ("a.pt", "b.pt"))
    assert single == double
    assert int(double["rank of J"].split()[0]) <= 2 * 2 * 3  # two for each side of the origin, for each output


def test_the_seed_reaches_the_evaluation(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(analysis, "Analysis", lambda at, seed: seen.append(seed) or Analysis(at, seed))
    printed(run / "step_0.pt", "--seed", 7)
    assert seen == [7]
