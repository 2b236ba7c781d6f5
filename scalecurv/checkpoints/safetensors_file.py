"""Safetensors files, which hold no code, sort their names and leave out tied tensors."""

from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from scalecurv.checkpoints.content import Content
from scalecurv.errors import CheckpointError, kind_and_line
from scalecurv.pickles.read import UNREADABLE


def read_safetensors(path: Path) -> Content:
    """Return the tensors and the metadata of a file; raises CheckpointError where it cannot be read."""
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            # copies, because tensors are maps of the file: overwriting it would change the weights, or kill the process
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            metadata: dict[str, Any] = file.metadata() or {}
    except (SafetensorError, *UNREADABLE) as error:
        raise CheckpointError(f"{path} is no readable safetensors file: {kind_and_line(error)}") from error
    # safetensors.torch.save_model leaves out a tied tensor, and names here the tensor that stands for it
    tied = {gone: tensors[kept] for gone, kept in metadata.items() if kept in tensors}
    return Content({**tied, **tensors}, metadata, ordered=False)
