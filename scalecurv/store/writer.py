"""Writing parts: an immutable file for each outcome, committed by a rename."""

import contextlib
import errno
import os
import secrets
from pathlib import Path

from scalecurv.errors import Misuse, StoreError
from scalecurv.record import Outcome, digest
from scalecurv.store.image import encode
from scalecurv.store.rows import rows_of

PARTS = "parts"


def prepare_store(store: Path) -> None:
    """Make the directories of a store; raises Misuse where `store` is a file or cannot be made."""
    if store.exists() and not store.is_dir():
        raise Misuse(f"{store} is a file; give a directory for the store (it is made if it does not exist)")
    try:
        (store / PARTS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Misuse(
            f"{store} cannot be made a store ({error.strerror}); give a directory that can be written"
        ) from error


def write_part(store: Path, outcome: Outcome) -> Path:
    """Commit one outcome and return the path of its part.

    Names sort by time. No part is ever overwritten: a process that merges it would remove rows that it has not read.
    Raises StoreError, and leaves the store as it was, where it cannot be written.
    """
    identity = [outcome.path, outcome.fingerprint, outcome.task_id, outcome.dtype, outcome.seed]
    name = digest([*identity, [[record.key, record.failed] for record in outcome.records]])
    path = store / PARTS / f"{int(1000 * outcome.created):014d}-{name[:12]}-{secrets.token_hex(4)}.h5"
    write_atomically(path, encode(rows_of(outcome)))
    return path


def sync_folder(folder: Path) -> None:
    """Put on disk what files a folder holds."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporary_beside(path: Path) -> Path:
    """Return a path in the same directory that no other process on any machine uses."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all; it is on disk when this returns. Raises StoreError."""
    temporary = temporary_beside(path)
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        room = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        advice = "make room" if room else "see to it that it can"
        raise StoreError(
            f"{path.parent} cannot be written ({error.strerror}); {advice} and run the same again"
        ) from error
