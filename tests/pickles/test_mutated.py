"""Some hundreds of damaged files of every kind; `python -m chaos.pickles` reads ten thousand."""

from pathlib import Path

import pytest

from chaos.pickles import read_mutated

COUNT = 200


def test_damaged_files_are_read_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    verdicts, _ = read_mutated(tmp_path, COUNT, seed=1)
    assert verdicts.total() == 2 * COUNT
    assert min(verdicts.values()) > COUNT // 20
