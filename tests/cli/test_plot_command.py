"""`scalecurv plot`: every picture by name, what it says that it wrote, and one line for what it cannot draw."""

from pathlib import Path

import pytest

from scalecurv.cli.plot import PICTURES
from scalecurv.record import Outcome
from tests.commands import invoke
from tests.outcomes import exactly, failure, outcome, record, sampled, store_of

EDGE = ("--quantity", "lambda_max * 0.1 / 2 as edge", "--color", "run", "--line", "1=limit", "--band")


def outcomes(folder: str) -> list[Outcome]:
    estimates = [{("lambda_max", ""): sampled(10.0 + i, 1.0), **exactly(loss=2.0 - i, rank=3 + i)} for i in range(2)]
    made = [outcome(f"{folder}/step_{9 * i}.pt", record(f"{folder}{i}", one)) for i, one in enumerate(estimates)]
    return [*made, outcome(f"{folder}/best.pt", record(f"{folder}3", exactly(loss=0.1)))]


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Path:
    return store_of(tmp_path / "store", *outcomes("/runs/a"), *outcomes("/runs/b"))


def test_it_says_what_it_wrote(store: Path, tmp_path: Path) -> None:
    for suffix, magic in ((".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")):
        picture = tmp_path / f"x{suffix}"
        result = invoke("plot", store, picture)
        said = f"wrote {picture}: 3 panels, 2 runs, 4 checkpoints; 2 checkpoint(s) without a step left out\n"
        assert (result.exit_code, result.output) == (0, said)
        assert picture.read_bytes().startswith(magic)


def test_options_reach_the_picture(store: Path, tmp_path: Path) -> None:
    picture = tmp_path / "x.svg"
    words = (
        "--where",
        "step >= 0",
        "--run",
        "a",
        "--run",
        "b",
        "--xscale",
        "linear",
        "--yscale",
        "log",
        "--ylim",
        "0.1:3",
    )
    looks = ("--title", "six runs", "--size", "5x3", "--font-size", "8", "--style-sheet", "ggplot", "--xlim", ":20")
    result = invoke("plot", store, picture, *EDGE, *words, *looks)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"wrote {picture}: 1 panel, 2 runs, 4 checkpoints\n"
    head = picture.read_text()[:800]
    assert 'width="360pt" height="216pt"' in head  # inches of 72 points
    result = invoke("plot", store, picture, "--what", "compare", "--quantity", "lambda_max", "--at", "9")
    assert result.stdout.startswith(f"wrote {picture}: 1 panel, 2 runs, 2 checkpoints; ")


def test_every_picture_is_a_function_of_the_package() -> None:
    import scalecurv as sc

    for name in PICTURES:
        assert callable(getattr(sc.plot, name.replace("-", "_")))
    assert {name.replace("-", "_") for name in PICTURES} == set(sc.plot.__all__) - {"save"}


MISUSE = (
    (("no/x.png",), "the folder no does not exist; make it with: mkdir -p no"),
    (("x.gif",), "x.gif ends in '.gif'; give a file that ends in .png, .pdf or .svg"),
    (
        ("x.png", "-q", "lamda_max"),
        "{store} has no quantity or attribute 'lamda_max'; near it are lambda_max; `scalecurv analyze` again with "
        "--run-attr 'lr=lr([0-9.]+)' takes attributes from the paths of runs",
    ),
    (("x.png", "-q", "rank +"), "the expression 'rank +' does not run: syntax error at or near \"from\""),
    (("x.png", "--where", "nope = 1"), "the condition 'nope = 1' does not run: Binder Error: "),
    (("x.png", "--run", "c"), "no run is called 'c'; there are 2, such as a, b"),
    (("x.png", "--line", "edge"), "--line is 'edge'; give a height, with words for the legend if you like: 1, or "),
    (("x.png", "--at", "9"), "--at is not for --what trajectories, which takes --quantity, --line, "),
    (
        ("x.png", "--what", "account", "--by", "run", "--band", "-q", "rank"),
        "--quantity, --by, --band, --bars are not for --what account, which takes --where, --run, ",
    ),
    (("x.png", "--what", "compare", "-q", "rank", "-q", "loss"), "--what compare takes one --quantity; 2 came"),
    (("x.png", "--what", "against", "-q", "rank"), "--what against takes two --quantity, for x and for y; 1 came"),
    (("x.png", "--what", "compare", "--at", "4"), "no checkpoint has step 4; near it are 0, 9"),
    (("x.png", "--size", "900x1"), "the size is 900x1; give width and height in inches, each from 0.5 to 100"),
    (("x.png", "--dpi", "1"), "dpi is 1; give dots per inch from 20 to 2400"),
)


def test_misuse_is_one_line_and_writes_nothing(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for words, said in MISUSE:
        result = invoke("plot", store, *words)
        assert result.exit_code == 2, words
        assert result.output.startswith(f"scalecurv: {said.format(store=store)}"), result.output
        assert result.output.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_ranges_and_sizes_that_are_none() -> None:
    for words, said in ((("--ylim", "3"), "'3' is no range; give LOW:HIGH"), (("--size", "7"), "'7' is no size; give")):
        result = invoke("plot", "store", "x.png", *words)
        assert result.exit_code == 2
        assert said in result.output


def test_a_store_where_all_failed(tmp_path: Path) -> None:
    store = store_of(tmp_path / "store", failure("/runs/a/step_4.pt", step=4))
    result = invoke("plot", store, tmp_path / "x.png")
    assert result.output == f"scalecurv: every checkpoint of {store} failed; `scalecurv show {store}` says why\n"
