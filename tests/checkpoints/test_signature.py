"""Files that are no checkpoints by their first bytes: a line that says what they are, and what to do."""

import gzip
import io
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from scalecurv.checkpoints.load import load
from scalecurv.errors import CheckpointError

SAVE = "save model.state_dict() with torch.save"
AGAIN = "and holds no tensors; copy or download it again"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("weights"), io.BytesIO())
    return buffer.getvalue()


def _array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ones(3))
    return buffer.getvalue()


KINDS = {
    "pointer": (LFS, "is a pointer of git-lfs, not the file itself; run `git lfs pull` in its repository"),
    "empty": (b"", "is empty; it was not written to its end, or not copied"),
    "page": (b"\n<!DOCTYPE html><html>404</html>", f"is HTML, as a failed download leaves it, {AGAIN}"),
    "JSON": ('{"error": "é"}'.encode(), f"is JSON, {AGAIN}"),
    "a long text": (b"# " + "é".encode() * 999, f"is text, {AGAIN}"),
    "tar": (_tar(), "is a tar archive; unpack it and give a file in it"),
    "gzip": (gzip.compress(b"x"), "is compressed by gzip; decompress it (gzip -d) and give the file that comes out"),
    "array": (_array(), f"is one array of NumPy, without a name; {SAVE}"),
}


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".bin"])
def test_what_is_no_checkpoint_is_said_in_a_line(tmp_path: Path, suffix: str) -> None:
    for name, (content, message) in KINDS.items():
        path = tmp_path / f"{name}{suffix}"
        path.write_bytes(content)
        with pytest.raises(CheckpointError) as caught:
            load(path)
        assert str(caught.value) == f"{path} {message}"


def test_hdf5(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "model.h5", "w") as file:
        file["w"] = np.ones(3)
    with pytest.raises(CheckpointError, match=r"is an HDF5 file, as Keras saves weights; save model\.state_dict"):
        load(tmp_path / "model.h5")


def test_the_statement_that_converts_arrays_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "step_3.npz", **{"0.weight": np.ones((2, 3)), "0.bias": np.zeros(2)})
    with pytest.raises(CheckpointError) as caught:
        load(tmp_path / "step_3.npz")
    before, _, statements = str(caught.value).partition("; convert it: ")
    assert before == f"{tmp_path / 'step_3.npz'} holds arrays of NumPy"
    monkeypatch.chdir(tmp_path)
    exec(statements, {})
    checkpoint = load(tmp_path / "step_3.pt")
    assert (checkpoint.step, checkpoint.dtype, list(checkpoint.tensors)) == (3, torch.float64, ["0.weight", "0.bias"])
