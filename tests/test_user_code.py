"""Code by name: what it is, and when it is another than before."""

import hashlib
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


def test_what_is_imported_there_is_another_once_either_file_is_edited(write: Write) -> None:
    here, there = "from users_other import loss\nWEIGHT = 1\n", "def loss(f, y):\n    return f\n"
    seen = set()
    for own, other in (
        (here, there),
        (here.replace("1", "2"), there),
        (here, there.replace("return f", "return 2 * f")),
    ):
        write(users_own=own, users_other=other)
        seen.add(source())
    assert len(seen) == 3


def test_of_one_file_it_is_the_digest_of_that_file(write: Write) -> None:
    """As it was in stores of earlier releases: their keys stay."""
    text = "def loss(f, y):\n    return f\n"
    write(users_own=text)
    assert source() == hashlib.sha256(text.encode()).hexdigest()


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
