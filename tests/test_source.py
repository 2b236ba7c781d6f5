"""The identity of a definition: equal for edits that cannot change what it does, another for all others."""

import pytest

from scalecurv.source import identity_in

BASE = '''"""A file of models."""
import torch
from torch import nn

WIDTH = 64
DEPTH = 2
SIZES: list[int] = [WIDTH] * DEPTH


def layers(width):
    """Return two layers."""
    return [nn.Linear(width, width), nn.ReLU()]  # in this order


def unused(width):
    return width + 1


class Block(nn.Module):
    """A block."""

    scale = 1.0

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(*layers(WIDTH))

    def forward(self, x):
        return self.scale * self.body(x)


class Other(nn.Module):
    pass


def factory():
    """Return the model."""
    model = Block()
    for module in model.modules():
        assert module is not None
    return model.eval()


if __name__ == "__main__":
    print(factory())
'''
# (what is replaced, by what, whether the identity stays)
EDITS = [
    ("  # in this order", "", True),
    ("  # in this order", "  # reversed? no", True),
    ('"""Return the model."""', '"""Return it."""', True),
    ('    """Return the model."""\n', "", True),
    ('    """A block."""\n\n', "", True),
    ('"""A file of models."""', '"""Models."""', True),
    ('"""A file of models."""\n', "", True),
    ("\n\n\nclass Other", "\nclass Other", True),
    ("width), nn.ReLU()]", "width),\n        nn.ReLU()]", True),
    ("return width + 1", "return width + 2", True),
    ("def unused(width):\n    return width + 1\n", "", True),
    ("DEPTH = 2", "DEPTH = 3", True),
    ("class Other(nn.Module):\n    pass", "class Other(nn.Module):\n    x = 1", True),
    ("import torch\n", "", True),
    ("import torch\n", "import torch\nimport os, sys\n", True),
    ("print(factory())", "print(factory(), WIDTH)", True),
    ("model = Block()", "model = (Block())", True),
    ("WIDTH = 64\n", "WIDTH = 64\nLIMIT = 3\n", True),
    ("WIDTH = 64\n", "WIDTH = 64\nimport functools\n@functools.cache\ndef cached(): return 1\n", True),
    ("WIDTH = 64\n", "WIDTH = 64\nfrom dataclasses import dataclass\n@dataclass\nclass C:\n    x: int = 1\n", True),
    ("WIDTH = 64", "WIDTH = 65", False),
    ("nn.ReLU()]", "nn.Tanh()]", False),
    ("scale = 1.0", "scale = 2.0", False),
    ("self.scale * self.body(x)", "self.scale + self.body(x)", False),
    ("class Block(nn.Module)", "class Block(nn.Sequential)", False),
    ("def layers(width):", "def layers(width, bias=True):", False),
    ("model = Block()", "model = Other()", False),
    ("from torch import nn", "from mine import nn", False),
    ("from torch import nn", "import torch.nn as nn", False),
    ("WIDTH = 64\n", "WIDTH = 64\nWIDTH = 65\n", False),
    ("WIDTH = 64\n", "WIDTH = 64\nWIDTH += 1\n", False),
    ("WIDTH = 64\n", "WIDTH = 64\nnn.Linear = None\n", False),
    ("WIDTH = 64\n", "WIDTH = 64\nSIZES[0] = 1\n", False),
    ("WIDTH = 64\n", "WIDTH = 64\ntorch.set_default_dtype(torch.float64)\n", False),
    ("WIDTH = 64\n", "WIDTH = 64\nif DEPTH:\n    WIDTH = 3\n", False),
    ("WIDTH = 64\n", "WIDTH = 64\nfrom mine import *\n", False),
    ("WIDTH = 64\n", "WIDTH = 64\n@register\ndef other(): return 1\n", False),
    ("WIDTH = 64\n", "WIDTH = 64\n@nn.register\nclass Third: pass\n", True),  # of torch
    ("WIDTH = 64\n", "WIDTH = 64\nclass Third(Block, metaclass=Meta): pass\n", False),
    ("WIDTH = 64\n", "WIDTH = 64\nfrom mine import Base\nclass Third(Base): pass\n", False),
    ("def layers", "@torch.no_grad()\ndef layers", False),
    ("    model = Block()", "    global WIDTH\n    model = Block()", False),
    ("def unused(width):", "def unused(width):\n    global WIDTH\n    WIDTH = 3\n", True),  # nobody calls it
    ("return model.eval()", "return model", False),
]  # fmt: skip
# with each of these the whole file counts: a comment is another identity
WHOLE = [
    ("return model.eval()", "return globals()['Block']()"),
    ("return model.eval()", "return eval('Block')()"),
    ("return model.eval()", "import sys\n    return getattr(sys.modules[__name__], 'Block')()"),
    ("return model.eval()", "import models\n    return getattr(models, 'Block')()"),
    ("return model.eval()", "from models import Block as B\n    return B()"),
    ("return model.eval()", "return nn.Module.__subclasses__()[-1]()"),
    ("return model.eval()", "return vars()['model']"),
    ("return model.eval()", "return factory.__doc__"),
    ("def layers(width):", "def layers(width):\n    exec('x = 1')"),
    ("import torch\n", "import torch\nfrom sys import modules\nmodules.clear()\n"),
    ("def factory", "def builder"),  # not at the top of the file: made in another way
    ("return model.eval()", "return model.eval("),  # no Python
]


def identity(text: str) -> str:
    return identity_in(text.encode(), "factory", "models")


@pytest.mark.parametrize(("old", "new", "stays"), EDITS)
def test_edits(old: str, new: str, stays: bool) -> None:
    assert BASE.count(old) >= 1
    assert (identity(BASE.replace(old, new, 1)) == identity(BASE)) is stays


def test_where_names_are_reached_by_strings_the_whole_file_counts() -> None:
    for old, new in WHOLE:
        text = BASE.replace(old, new, 1)
        assert identity(text) != identity(f"{text}# more\n"), new
    assert identity(BASE) == identity(f"{BASE}# more\n")


def test_other_ways_to_define_it() -> None:
    """(a file, edits that change what it builds, edits that do not)"""
    for text, changed, kept in [
        ("A = 1\nfactory = lambda: A\nB = 2\n", [("A = 1", "A = 3")], [("B = 2", "B = 3")]),
        ("from f import partial\ndef g(a): return a\nfactory = partial(g, a=1)\ndef h(): pass\n",
         [("return a", "return -a"), ("a=1", "a=2"), ("from f", "from g")], [("def h(): pass", "def h(): return 1")]),
        ("class Base:\n    def run(self): return 1\nclass factory(Base):\n    x = 2\nclass Free: x = 2\n",
         [("return 1", "return 2"), ("x = 2\nclass", "x = 3\nclass")], [("Free: x = 2", "Free: x = 3")]),
        ("try:\n    import fast as nn\nexcept ImportError:\n    nn = None\ndef factory(): return nn\n",
         [("fast", "slow"), ("nn = None", "nn = 1")], [("try:", "try:  # first")]),
        ("a, (b, c) = 1, (2, 3)\nd = 4\ndef factory(): return c\n", [("2, 3", "2, 4")], [("d = 4", "d = 5")]),
        ("R = {}\ndef reg(f):\n    R[f.__name__] = f\n    return f\n@reg\ndef one(): return 1\n"
         "def factory(): return R['one']()\n",
         [("return 1", "return 2"), ("return f\n", "return None\n")], []),
        ("class Base:\n    kinds = []\n    def __init_subclass__(cls): Base.kinds.append(cls)\nclass One(Base): x = 1\n"
         "def factory(): return Base.kinds[0]()\n", [("x = 1", "x = 2")], []),
        ("async def other(): pass\ndef factory(x=(n := 3)): return n\n", [(":= 3", ":= 4")], [("pass", "return 1")]),
        ("def factory(): ''\nx = 1\n", [("''", "return ''")], [("''", "'else'"), ("x = 1", "x = 2")]),
    ]:  # fmt: skip
        for old, new in changed:
            assert identity(text) != identity(text.replace(old, new, 1)), (text, new)
        for old, new in kept:
            assert identity(text) == identity(text.replace(old, new, 1)), (text, new)


def test_it_is_the_same_in_every_release_of_python() -> None:
    """Stored task ids contain it; what `ast.dump` prints changes from one release to the next."""
    assert identity(BASE)[:16] == "d149aa4054b5f9e1"
