"""The weights of TorchScript archives: the attributes that the code in them declares; the code is never run."""

import re
from collections import OrderedDict
from functools import partial
from typing import Any

from scalecurv.display import kind_of
from scalecurv.pickles.archive import Archive
from scalecurv.pickles.modules import LARGEST, state_of
from scalecurv.pickles.placeholder import Budget, Placeholder, Unreadable

_CLASS = re.compile(r"^class (\w+)\(Module\):\n  __parameters__ = \[(.*?)\]\n  __buffers__ = \[(.*?)\]\n", re.MULTILINE)
_NAME = re.compile(r'"([^"]*)"')
_CODE = "code/"


def is_torchscript(archive: Archive) -> bool:
    """Return True for an archive that torch.jit.save wrote: the constants of its code lie beside the pickle."""
    return "constants.pkl" in archive.names()


def state_of_script(archive: Archive, module: Any) -> "OrderedDict[str, Any]":
    """Return the state_dict of the module in an archive.

    Raises Unreadable where the classes of the code do not say which attributes are parameters and buffers, or where
    there are none, because the module was frozen.
    """
    if type(module) is not Placeholder:
        raise Unreadable(f"is a TorchScript archive that holds {kind_of(module)}; save model.state_dict()")
    declared: dict[str, list[str]] = {}
    for name in archive.names():
        if name.startswith(f"{_CODE}__torch__") and name.endswith(".py"):
            place = name.removeprefix(_CODE).removesuffix(".py").replace("/", ".")
            text = str(archive.record(name), "utf-8")
            for kind, *tensors in _CLASS.findall(text):
                declared[f"{place}.{kind}"] = [tensor for part in tensors for tensor in _NAME.findall(part)]
    state = state_of(module, Budget(LARGEST), partial(_members, declared))
    if not state:
        raise Unreadable(
            "is a TorchScript archive without parameters, as of a frozen module; save the state_dict of the model "
            "that it was made from"
        )
    return state


def _members(declared: dict[str, list[str]], module: Placeholder) -> tuple[dict[Any, Any], dict[Any, Any]]:
    if module.name not in declared:
        return {}, {}  # an object of another class than a module has no weights
    attributes = module.attributes
    tensors = {name: attributes.get(name) for name in declared[module.name]}
    return tensors, {name: held for name, held in attributes.items() if name not in tensors}
