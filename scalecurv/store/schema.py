"""The tables of a store as data: columns with their kinds and units, primary keys, references."""

import math
from dataclasses import dataclass
from typing import Literal

FORMAT = "scalecurv-results"
VERSION = 5  # 1: every text column whole, which took most of the time of reading; 2 to 4: without some of ADDED
OLDEST = 1  # the first schema version that this release reads
LABELS = "label"  # all texts of a table, once and sorted; its text columns are positions in it
NO_STEP = -1  # an unknown step, in an integer column

# (table, column): the schema version that added it, and its value in rows of older files
ADDED: dict[tuple[str, str], tuple[int, str | int | float]] = {
    ("tasks", "split"): (3, ""),
    ("tasks", "num_available"): (3, 0),  # not recorded
    ("tasks", "sample_seed"): (3, -1),  # all samples were used
    ("tasks", "weight_decay"): (3, 0.0),
    ("tasks", "weights"): (5, ""),  # the weights of the model, and all of them
    ("tasks", "ignored"): (5, ""),
    ("estimates", "rtol"): (4, math.inf),  # not recorded, and so on
    ("estimates", "max_matvecs"): (4, -1),
    ("estimates", "memory"): (4, -1),
    ("arrays", "rtol"): (4, math.inf),
    ("arrays", "max_matvecs"): (4, -1),
    ("arrays", "memory"): (4, -1),
}
ADDED_TABLES = {"runs": 4, "moves": 4, "quantities": 4}  # table: the schema version that added it

Kind = Literal["text", "int", "float", "array"]


@dataclass(frozen=True)
class Column:
    """One 1-D dataset: text is variable-length UTF-8, int is int64, float is float64 (NaN: does not apply)."""

    name: str
    kind: Kind
    units: str = "1"


def _columns(text: str = "", int: str = "", float: str = "", array: str = "") -> tuple[Column, ...]:
    """Return columns from their names, written `name/units` where the unit is not 1."""
    kinds: dict[Kind, str] = {"text": text, "int": int, "float": float, "array": array}
    return tuple(
        Column(name, kind, units or "1")
        for kind, names in kinds.items()
        for name, _, units in (word.partition("/") for word in names.split())
    )


TABLES: dict[str, tuple[Column, ...]] = {
    "checkpoints": _columns(
        text="path run fingerprint architecture dtype task_id status error",
        int="step num_params seed total_matvecs attempt",
        float="epoch created/s",
    ),
    "estimates": _columns(
        text="key fingerprint task_id dtype measure quantity component method status provenance_id",
        int="num_samples num_matvecs seed attempt version max_matvecs memory/byte",
        float="value stderr lower upper confidence seconds/s created/s rtol",
    ),
    "arrays": _columns(
        text="key fingerprint task_id dtype measure name",
        int="seed version max_matvecs memory/byte",
        float="created/s rtol",
        array="values",
    ),
    "tasks": _columns(
        text="task_id data_path split data_fingerprint loss reduction model activation weights ignored",
        int="num_data num_outputs num_available sample_seed",
        float="weight_decay",
    ),
    "provenance": _columns(text="provenance_id versions device host git config", int="threads"),
    "files": _columns(text="path fingerprint dtype", int="size/byte mtime_ns/ns inode", float="created/s"),
    "runs": _columns(text="run attributes", float="created/s"),  # attributes: a JSON object
    "moves": _columns(text="path moved_to", float="created/s"),  # files that were renamed since they were analysed
    "quantities": _columns(text="quantity meaning unit measure", int="integer derived"),  # of measures of one's own
}

ANALYSED = ["fingerprint", "task_id", "dtype", "seed"]  # one content analysed in one way: a row of `results`
SHARPNESS = ["rtol", "max_matvecs", "memory"]  # how sharply a measure was asked: several times under one key, maybe
# columns that tell a row of each table from every other row of it
KEYS: dict[str, list[str]] = {
    "checkpoints": ["path", *ANALYSED, "created"],
    "estimates": ["key", "quantity", "component", *SHARPNESS],
    "arrays": ["key", "name", *SHARPNESS],
    "tasks": ["task_id"],
    "provenance": ["provenance_id"],
    "files": ["path", "size", "mtime_ns", "inode"],
    "runs": ["run"],
    "moves": ["path"],
    "quantities": ["quantity"],
}
# (table, column, table that has a row for each of its values)
REFERENCES = (
    ("estimates", "fingerprint", "checkpoints"),
    ("estimates", "provenance_id", "provenance"),
    ("estimates", "task_id", "tasks"),
    ("arrays", "fingerprint", "checkpoints"),
)
