"""Code by name: what it is, and when it is another than before."""

from collections.abc import Callable
from pathlib import Path

import pytest

from scalecurv.errors import Misuse
from scalecurv.user_code import names_code, resolve, source_of

DECORATOR = (
    "import functools\ndef checked(f):\n    @functools.wraps(f)\n    def g(*a):\n        return f(*a)\n    return g\n"
)
Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Modules of the user's own, imported anew whenever they are written."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("sys.dont_write_bytecode", True)

    def put(**modules: str) -> None:
        import importlib
        import sys

        for name, text in modules.items():
            (tmp_path / f"{name}.py").write_text(text)
        for name in ("users_own", "users_other"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()

    return put


def source() -> str:
    return source_of("--loss", "users_own:loss", "function")


@pytest.mark.parametrize(
    "text",
    [
        "from users_other import checked\n@checked\ndef loss(f, y):\n    return f * SCALE\n",
        "from functools import partial\ndef g(f, y, s):\n    return s * f\nloss = partial(g, s=SCALE)\n",
        "class Loss:\n    def __call__(self, f, y):\n        return f * SCALE\nloss = Loss()\n",
        "loss = lambda f, y: f * SCALE\n",
        "from torch.nn import CrossEntropyLoss\nloss = CrossEntropyLoss(label_smoothing=SCALE)\n",
    ],
    ids=["decorated", "partial", "instance", "lambda", "module of torch"],
)
def test_whatever_is_called_is_another_once_its_file_is_edited(write: Write, text: str) -> None:
    write(users_own=text.replace("SCALE", "0.1"), users_other=DECORATOR)
    first = source()
    assert first == source()
    assert callable(resolve("--loss", "users_own:loss", "function"))
    write(users_own=text.replace("SCALE", "0.2"), users_other=DECORATOR)
    assert source() != first


def test_what_is_imported_there_is_another_once_either_definition_is_edited(write: Write) -> None:
    here, there = "from users_other import loss\nWEIGHT = 1\n", "def loss(f, y):\n    return f\nWEIGHT = 1\n"
    seen = set()
    for own, other, num_seen in (
        (here, there, 1),
        (here.replace("1", "2"), there, 1),
        (here, there.replace("WEIGHT = 1", "WEIGHT = 2  # unused"), 1),
        (here, there.replace("return f", "return WEIGHT * f"), 2),
        (here, there.replace("return f", "return WEIGHT * f").replace("= 1", "= 2"), 3),
        (here.replace("import loss", "import loss as base") + "def loss(f, y): return base(f, y)\n", there, 4),
    ):
        write(users_own=own, users_other=other)
        seen.add(source())
        assert len(seen) == num_seen, (own, other)


def test_what_a_function_returns_counts_with_the_whole_file_that_it_comes_from(write: Write) -> None:
    there = "def make(s):\n    def loss(f, y):\n        return s * f\n    return loss\n"
    write(users_own="from users_other import make\nloss = make(2)\n", users_other=there)
    first = source()
    write(users_own="from users_other import make\nloss = make(2)  # twice\n", users_other=there)
    assert source() == first
    write(users_own="from users_other import make\nloss = make(3)\n", users_other=there)
    assert source() != first
    write(users_own="from users_other import make\nloss = make(2)\n", users_other=there.replace("s * f", "s + f"))
    assert source() != first


def test_what_is_built_in_has_no_source() -> None:
    assert source_of("--model", "math:sqrt", "factory") == ""


@pytest.mark.parametrize(
    ("text", "named"),
    [("pkg.mod:name", True), ("mod:name", True), ("data.npz", False), ("a/b:c", False), (":c", False), ("a:", False),
     ("a:b:c", False), ("s3://bucket/x", False), ("1mod:f", False)],
)  # fmt: skip
def test_what_names_code(text: str, named: bool) -> None:
    assert names_code(text) is named


def test_the_words_for_what_is_no_name() -> None:
    with pytest.raises(Misuse, match=r"^--loss 'huber' is not of the form pkg.mod:function$"):
        resolve("--loss", "huber", "function")
