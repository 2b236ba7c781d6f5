"""The tables as the documents promise them: a name that goes missing here is a query that breaks."""

import re
from pathlib import Path

import pytest

from scalecurv.store.meanings import meaning_of
from scalecurv.store.schema import KEYS, TABLES, Column

PROMISED = {
    "runs": "run attributes created",
    "moves": "path moved_to created",
    "quantities": "quantity meaning unit measure integer derived",
    "checkpoints": "path run fingerprint step epoch num_params architecture dtype task_id total_matvecs status error",
    "estimates": "key fingerprint quantity component value stderr lower upper confidence num_samples num_matvecs "
    "method status seed seconds attempt provenance_id rtol max_matvecs memory",
    "arrays": "key name values rtol max_matvecs memory",
    "tasks": "task_id split weight_decay data_fingerprint loss reduction num_data num_outputs activation model",
    "provenance": "provenance_id versions device git config",
    "files": "path size mtime_ns inode fingerprint",
}


def test_every_promised_column_is_there_once() -> None:
    assert TABLES.keys() == PROMISED.keys()
    for table, names in PROMISED.items():
        columns = [column.name for column in TABLES[table]]
        assert set(names.split()) <= set(columns)
        assert len(set(columns)) == len(columns)


def test_the_document_has_every_table_its_key_and_its_columns() -> None:
    text = (Path(__file__).parents[2] / "docs" / "store.md").read_text()
    sections = dict(zip(TABLES, re.split(r"^### `\w+`\n", text, flags=re.MULTILINE)[1:], strict=True))
    for name, columns in TABLES.items():
        assert f"\n### `{name}`\n" in text
        assert f"Key: {', '.join(f'`{key}`' for key in KEYS[name])}." in sections[name]
        rows = [line for line in sections[name].splitlines() if line.startswith("| `")]
        wanted = [f"| `{c.name}` | {c.kind} | {c.units} | {meaning_of(name, c.name)} |" for c in columns]
        assert [row.replace("\\|", "|") for row in rows] == wanted


def test_every_column_has_words_that_define_it() -> None:
    for table, columns in TABLES.items():
        assert all(meaning_of(table, column.name) for column in columns)
        with pytest.raises(KeyError):
            meaning_of(table, "nothing")


def test_kinds_and_units() -> None:
    assert Column("created", "float", "s") in TABLES["estimates"]
    assert {(c.name, c.kind, c.units) for c in TABLES["files"]} == {
        ("path", "text", "1"),
        ("fingerprint", "text", "1"),
        ("dtype", "text", "1"),
        ("size", "int", "byte"),
        ("mtime_ns", "int", "ns"),
        ("inode", "int", "1"),
        ("created", "float", "s"),
    }
    assert [c.name for columns in TABLES.values() for c in columns if c.kind == "array"] == ["values"]
