"""The tables as the documents promise them: a name that goes missing here is a query that breaks."""

from scalecurv.store.schema import TABLES, Column

PROMISED = {
    "checkpoints": "path run fingerprint step epoch num_params architecture dtype task_id total_matvecs status error",
    "estimates": "key fingerprint quantity component value stderr lower upper confidence num_samples num_matvecs "
    "method status seed seconds attempt provenance_id",
    "arrays": "key name values",
    "tasks": "task_id data_fingerprint loss reduction num_data num_outputs activation model",
    "provenance": "provenance_id versions device git config",
    "files": "path size mtime_ns inode fingerprint",
}


def test_every_promised_column_is_there_once() -> None:
    assert TABLES.keys() == PROMISED.keys()
    for table, names in PROMISED.items():
        columns = [column.name for column in TABLES[table]]
        assert set(names.split()) <= set(columns)
        assert len(set(columns)) == len(columns)


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
