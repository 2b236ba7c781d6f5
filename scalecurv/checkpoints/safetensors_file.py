"""A safetensors file: no code in it, names sorted, tied tensors left out."""

from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from scalecurv.checkpoints.content import Content, line_of
from scalecurv.checkpoints.torch_file import UNREADABLE
from scalecurv.errors import CheckpointError


def read_safetensors(path: Path) -> Content:
    """Its tensors and its metadata; raises CheckpointError."""
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            # copied, for what is read is a map of the file: overwriting it would change the weights, or kill us
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            metadata: dict[str, Any] = file.metadata() or {}
    except (SafetensorError, *UNREADABLE) as error:
        raise CheckpointError(f"{path} is no readable safetensors file: {line_of(error)}") from error
    # safetensors.torch.save_model leaves out a tied tensor and says here which one stands for it
    tied = {gone: tensors[kept] for gone, kept in metadata.items() if kept in tensors}
    return Content({**tied, **tensors}, metadata, ordered=False)
