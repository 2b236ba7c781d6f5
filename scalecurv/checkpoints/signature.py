"""The kind of a file by its first bytes: it tells files that are no checkpoints, whatever their names."""

import zipfile
from pathlib import Path

from scalecurv.errors import CheckpointError

FIRST = 512  # bytes that tell
_SAVE = "save model.state_dict() with torch.save"
_LFS = b"version https://git-lfs.github.com/spec/"
# first bytes, and a line: what it is, and what to do
_KINDS: tuple[tuple[bytes, str], ...] = (
    (_LFS, "is a pointer of git-lfs, not the file itself; run `git lfs pull` in its repository"),
    (b"\x89HDF\r\n\x1a\n", f"is an HDF5 file, as Keras saves weights; {_SAVE}"),
    (b"\x93NUMPY", f"is one array of NumPy, without a name; {_SAVE}"),
    (b"PAR1", f"is a Parquet file, which holds data; {_SAVE}"),
    (b"\x1f\x8b", "is compressed by gzip; decompress it (gzip -d) and give the file that comes out"),
    (b"BZh", "is compressed by bzip2; decompress it (bzip2 -d) and give the file that comes out"),
    (b"\xfd7zXZ\x00", "is compressed by xz; decompress it (xz -d) and give the file that comes out"),
    (b"\x28\xb5\x2f\xfd", "is compressed by zstd; decompress it (zstd -d) and give the file that comes out"),
    (b"7z\xbc\xaf\x27\x1c", "is a 7z archive; unpack it and give a file in it"),
    (b"GGUF", f"is a GGUF file, whose numbers are quantized; {_SAVE}"),
)  # fmt: skip
_TAR = slice(257, 262)  # of a header, where a tar archive says so


def refuse_foreign(path: Path) -> None:
    """Raise CheckpointError where the first bytes of a file are those of something that holds no weights."""
    try:
        with open(path, "rb") as file:
            first = file.read(FIRST)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be opened ({error.strerror}); every worker must see this path") from error
    if kind := _kind(path, first):
        raise CheckpointError(f"{path} {kind}")


def _kind(path: Path, first: bytes) -> str:
    if not first:
        return "is empty; it was not written to its end, or not copied"
    if found := next((line for magic, line in _KINDS if first.startswith(magic)), None):
        return found
    if first[_TAR] == b"ustar":
        return "is a tar archive; unpack it and give a file in it"
    if _is_text(first):
        head = first.lstrip().lower()
        kind = "HTML, as a failed download leaves it" if head.startswith((b"<!doctype", b"<html")) else "text"
        return f"is {'JSON' if head[:1] in (b'{', b'[') else kind}, and holds no tensors; copy or download it again"
    if first.startswith(b"PK") and _is_npz(path):
        return (
            "holds arrays of NumPy; convert it: import numpy, torch; torch.save({k: torch.from_numpy(v) for k, v in "
            f"numpy.load({path.name!r}).items()}}, {f'{path.stem}.pt'!r})"
        )
    return ""


def _is_text(first: bytes) -> bool:
    """Return True where the bytes are a text; a pickle of protocol 0 is one too, and is left to its reader."""
    try:
        text = first.decode()
    except UnicodeDecodeError as error:
        if error.start < len(first) - 4:  # a character may be cut in two at the end
            return False
        text = first[: error.start].decode()
    return text.lstrip()[:1] in ("<", "{", "[", "#") and all(c.isprintable() or c.isspace() for c in text)


def _is_npz(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):  # damaged: its reader says how
        return False
    return bool(names) and all(name.endswith(".npy") for name in names)
