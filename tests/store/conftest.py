"""Stores to be merged, made once."""

import shutil
from pathlib import Path

import pytest

from scalecurv.store import reader
from scalecurv.store.compact import compact
from scalecurv.store.decode import decode
from scalecurv.store.frames import Tables
from tests.outcomes import store_of
from tests.store.merging import RUNS


@pytest.fixture(name="decoded_once")
def _each_content_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one store is read many times over."""
    seen: dict[bytes, Tables] = {}

    def remembered(path: Path) -> Tables:
        content = path.read_bytes()
        return seen.get(content) or seen.setdefault(content, decode(path))

    monkeypatch.setattr(reader, "decode", remembered)


@pytest.fixture(scope="session", name="template")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run merged, two in parts."""
    store = store_of(tmp_path_factory.mktemp("template"), RUNS[0])
    compact(store)
    return store_of(store, *RUNS[1:])


@pytest.fixture(name="store")
def _store(template: Path, tmp_path: Path) -> Path:
    """`RUNS`, the first of them merged."""
    return shutil.copytree(template, tmp_path / "store")
