"""A store as one HTML file: numbers, pictures and words, all inside, for a browser without a network."""

import base64
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any

import jinja2
from plotly.offline import get_plotlyjs

from scalecurv import __version__
from scalecurv.display import printable
from scalecurv.errors import Misuse
from scalecurv.plot.ranks import PARTS
from scalecurv.plot.selection import Selection, select
from scalecurv.plot.style import BAND_ALPHA, OPEN, PALETTE, diverging, sequential
from scalecurv.report import facts, glance, reading
from scalecurv.report.expressions import packed_expressions
from scalecurv.report.numbers import packed_quantities, packed_rows, packed_series
from scalecurv.report.packing import Blobs, embedded
from scalecurv.report.parts import packed_densities, packed_layers
from scalecurv.results.query import Store
from scalecurv.store.writer import write_atomically

HERE = Path(__file__).parent
# in the order in which they run; each file is one section of the page, or what several share
SCRIPTS = (
    *("data", "format", "themes", "marks", "scales", "thinning", "figures", "controls"),
    *("trajectories", "trajectory_traces", "spectrum", "account", "brackets", "layers"),
    *("table", "rows", "download", "printing", "start"),
)
LONGEST_TITLE = 200  # characters


@dataclass(frozen=True)
class Written:
    """The file that a report is in, with the counts and bytes of its content."""

    path: Path
    checkpoints: int
    runs: int
    size: int

    def __str__(self) -> str:
        one_of = [
            f"{self.checkpoints:,} checkpoint{'s' * (self.checkpoints != 1)}",
            f"{self.runs:,} run{'s' * (self.runs != 1)}",
        ]
        return f"wrote {printable(str(self.path))}: {' of '.join(one_of)}, {self.size / 1e6:.1f} MB"


def write_report(
    store: Store,
    path: str | PathLike[str],
    *,
    where: str | None = None,
    title: str | None = None,
    quantities: Sequence[str] = (),
) -> Written:
    """Write a store, or its checkpoints that meet the SQL condition `where`, to one HTML file; return its counts.

    `quantities` are shown first: names, or SQL expressions over `results` such as "lambda_max * lr / 2", each with the
    interval that follows from those of its quantities. Raises Misuse for an unknown name, a condition that does not
    run or that no checkpoint meets, and a path in no directory; StoreError where the file cannot be written.

    Example:
        >>> import tempfile
        >>> from scalecurv.errors import Misuse
        >>> store = Store(tempfile.mkdtemp())  # give the directory of a store; this one is empty
        >>> try:
        ...     write_report(store, "report.html")
        ... except Misuse as error:
        ...     print("holds no checkpoint" in str(error))
        True
    """
    file = _checked(store, Path(path))
    content, selection = page_of(store, where=where, title=title, quantities=quantities)
    write_atomically(Path(os.path.realpath(file)), content)  # a link stays one
    return Written(file, len(selection.rows), int(selection.rows["run"].nunique()), len(content))


def page_of(
    store: Store, *, where: str | None = None, title: str | None = None, quantities: Sequence[str] = ()
) -> tuple[bytes, Selection]:
    """Return the bytes of a report, and the rows that it shows; see `write_report`."""
    selection = select(store, where)
    estimates = facts.estimates_of(store, selection)
    runs = glance.runs_of(selection)
    costs = facts.costs_of(estimates)
    failures, count = facts.failures_of(store, selection)
    data = data_of(store, selection, quantities)
    present = {one["name"] for one in data["quantities"]}
    heading = (title or f"Curvature of {store.path.resolve().name}").strip()[:LONGEST_TITLE]
    scripts = [get_plotlyjs(), _program()]
    text = (
        _templates()
        .get_template("page.html")
        .render(
            title=printable(heading, ""),
            store=str(store.path.resolve()),
            where=where,
            version=__version__,
            written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            computed=glance.times_of(estimates),
            rows=selection.rows,
            counts=selection.rows["status"].value_counts().to_dict(),
            runs=runs,
            names=glance.columns_of(runs),
            tasks=facts.tasks_of(store, selection),
            provenance=facts.provenance_of(store, estimates),
            failures=failures,
            failure_count=count,
            costs=costs,
            without_cost=facts.arrays_alone(store, selection, costs),
            total_matvecs=int(selection.rows["total_matvecs"].sum()),
            words=reading.words_of(store.quantities, present),
            statuses=reading.statuses(),
            data=data,
            embedded=embedded(data),
            css=(HERE / "assets" / "report.css").read_text(encoding="utf-8"),
            scripts=scripts,
            hashes=[_hash(script) for script in scripts],
        )
    )
    return text.encode("utf-8", "backslashreplace"), selection  # a name of a file may be no text


def data_of(store: Store, selection: Selection, quantities: Sequence[str] = ()) -> dict[str, Any]:
    """Return all that the page draws, as its JSON holds it; the columns of numbers are packed in `blobs`."""
    blobs = Blobs()
    return {
        "rows": packed_rows(selection, blobs),
        "series": packed_series(selection, blobs),
        "quantities": packed_quantities(store, selection, blobs),
        "expressions": packed_expressions(selection, quantities, blobs),
        "densities": packed_densities(store, selection, blobs),
        "layers": packed_layers(selection, blobs),
        "style": {"palette": list(PALETTE), "band": BAND_ALPHA, "open": list(OPEN), "account": _account(), **_scales()},
        "name": store.path.resolve().name,
        "blobs": blobs.texts,
    }


def _checked(store: Store, path: Path) -> Path:
    """Return the path to write to; raises Misuse where it cannot be one."""
    try:
        other = path.exists() and not path.is_file() and not path.is_dir()
    except OSError as error:
        raise Misuse(f"{path} cannot be written ({error.strerror}); give another name") from error
    if other:
        raise Misuse(f"{path} is a device or a pipe; give a file")
    if path.is_dir():
        raise Misuse(f"{path} is a directory; give a file in it, such as {path / 'report.html'}")
    if not path.parent.is_dir():
        raise Misuse(f"{path.parent} does not exist; make it, or give a file in a directory that does")
    if path.suffix.lower() not in (".html", ".htm"):
        raise Misuse(f"{path} does not end in .html; a report is a page, such as {path.with_suffix('.html').name}")
    if store.path.resolve() in path.resolve().parents:
        raise Misuse(f"{path} lies in the store itself; give a file outside of {store.path}")
    return path


def _account() -> list[dict[str, str]]:
    """Return the parts of the account from the bottom to the top: columns, words, colours and hatches of `plot`."""
    return [
        {"name": name, "words": words, "color": color, "hatch": hatch[:1]}
        for name, (words, color, hatch) in PARTS.items()
    ]


def _templates() -> jinja2.Environment:
    """Return the templates, in which every text is escaped, and a name that is not given is an error."""
    loader = jinja2.FileSystemLoader(HERE / "templates")
    templates = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters["thousands"] = "{:,}".format
    templates.filters["words"] = lambda text: text.replace("_", " ")
    return templates


def _program() -> str:
    """Return the scripts of the page as one program, whose names no other script sees."""
    parts = [(HERE / "assets" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    return '"use strict";\n(() => {\n' + "\n".join(parts) + "\n})();"


def _hash(script: str) -> str:
    """Return the hash by which the page's policy allows a script, of the very bytes between its tags."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")


def _scales() -> dict[str, list[list[Any]]]:
    """Return the colour maps of ordered and of signed values that the pictures of `plot` have, as Plotly takes them."""
    places = [i / 16 for i in range(17)]  # 0.5 is among them: the colour of 0, where values are signed
    return {
        name: [
            [place, f"rgb({','.join(str(round(255 * part)) for part in color[:3])})"]
            for place, color in zip(places, colors(places), strict=True)
        ]
        for name, colors in (("scale", sequential()), ("signed", diverging()))
    }
