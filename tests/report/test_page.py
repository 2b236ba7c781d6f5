"""The file of a report: one page without a network, that says what is missing; every misuse is one clear line."""

import itertools
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from scalecurv.cli.main import main
from scalecurv.errors import Misuse, StoreError
from scalecurv.quantities import BUILT_IN, QUANTITIES
from scalecurv.report.page import SCRIPTS, page_of, write_report
from scalecurv.report.reading import words_of
from scalecurv.results.query import Store, open_store
from scalecurv.statistics.estimate import Status
from tests.outcomes import exactly, failure, outcome, record, store_of

OTHER = re.compile(r"""(?:src|href|action)\s*=\s*["'](?!#|data:)""")


def without_scripts(file: Path) -> str:
    return re.sub(r"<script.*?</script>", "", file.read_text(), flags=re.DOTALL)


def test_the_page_names_no_other_file_and_its_policy_forbids_all(report: Path) -> None:
    text = without_scripts(report)
    assert OTHER.search(text) is None
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert "default-src 'none'" in policy
    assert len(re.findall(r"'sha256-[^']+'", policy)) == 2
    assert "unsafe-eval" not in policy
    assert "connect-src" not in policy


def test_headings_are_in_order_and_every_reference_has_its_target(report: Path) -> None:
    text = without_scripts(report)
    levels = [int(level) for level in re.findall(r"<h([1-6])", text)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    names = re.findall(r'\bid="([^"]+)"', text)
    assert len(names) == len(set(names))
    assert set(re.findall(r'(?:href="#|for="|aria-labelledby=")([^"]+)"', text)) <= {*names}


def test_glance_failures_and_cost_are_in_words_without_scripts(store: Store, report: Path) -> None:
    text = without_scripts(report)
    row = store.table("long").query("quantity == 'loss' and run == '/runs/lr0.1' and step == 100").iloc[0]
    assert f"{row['value']:.6g}" in text
    assert "the loss is inf &amp; &lt;i&gt;so&lt;/i&gt; is g" in text
    assert "failed: overflow" in text
    assert re.search(r"<th scope=.row.>moments</th>.*>8<", text)
    assert "spectrum (16 contents): products are in the sum alone" in text
    assert "a setting of the arithmetic" in text
    assert ", as JSON" not in text  # names within a column of JSON stand in lines of their own
    assert all(status.advice in text.replace("&#39;", "'") for status in Status)


def test_how_to_read_has_meaning_and_unit_of_every_quantity_that_is_shown(store: Store, report: Path) -> None:
    text = without_scripts(report)
    shown = set(store.table("long").query("component == ''")["quantity"])
    for quantity in QUANTITIES:
        assert (f"<code>{quantity.name}</code>" in text) == (quantity.name in shown)
    advised = [word.quantity for word in words_of(QUANTITIES, {one.name for one in QUANTITIES}) if word.advice]
    # a measure is advised on by some of its quantities; the spectrum has none
    assert {one.measure for one in advised} == set(BUILT_IN) - {"spectrum"}


def test_sections_without_data_say_which_measure_computes_it(tmp_path: Path) -> None:
    store = open_store(store_of(tmp_path / "s", outcome("/runs/a/step_1.pt", record("k", exactly(loss=1.0)))))
    content, _ = page_of(store)
    for measure in ("spectrum", "rank", "curvature", "moments"):
        assert f"--measure {measure}</code> computes it" in content.decode()


def test_a_store_in_which_all_failed_is_a_page_of_reasons(tmp_path: Path) -> None:
    store = open_store(store_of(tmp_path / "s", failure("/runs/a/step_1.pt", "no <weights>")))
    written = write_report(store, tmp_path / "out.html")
    assert written.checkpoints == written.runs == 1
    assert "no &lt;weights&gt;" in without_scripts(tmp_path / "out.html")
    assert str(written).startswith(f"wrote {tmp_path}/out.html: 1 checkpoint of 1 run, ")


def test_broken_parts_are_among_the_failures(tmp_path: Path) -> None:
    store_of(tmp_path / "s", outcome("/runs/a/step_1.pt", record("k", exactly(loss=1.0))))
    (tmp_path / "s" / "parts" / "00-broken.h5").write_bytes(b"no store")
    content, _ = page_of(open_store(tmp_path / "s"))
    assert "00-broken.h5" in content.decode()
    assert "file of the store" in content.decode()


def test_misuse_is_one_line_that_says_what_to_do(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder.html").mkdir()
    cases = {
        tmp_path / "folder.html": "is a directory; give a file",
        tmp_path / "none" / "out.html": "none does not exist; make it",
        tmp_path / "out.pdf": "does not end in .html",
        store.path / "out.html": "lies in the store itself",
    }
    for path, words in cases.items():
        with pytest.raises(Misuse, match=words):
            write_report(store, path)
    refused: tuple[tuple[dict[str, Any], str], ...] = (
        ({"where": "nothing = 3"}, "does not run"),
        ({"where": "step = 12345"}, "no checkpoint meets"),
        ({"quantities": ("traces",)}, "near it are"),
    )
    for options, words in refused:
        with pytest.raises(Misuse, match=words):
            write_report(store, tmp_path / "out.html", **options)
    store_of(tmp_path / "empty")
    with pytest.raises(Misuse, match="holds no checkpoint"):
        write_report(open_store(tmp_path / "empty"), tmp_path / "out.html")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError, match="No space left on device"):
        write_report(store, tmp_path / "out.html")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "folder.html"]


def test_the_command_writes_says_so_and_loads_no_torch(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "out.html"
    words = ["report", str(store.path), str(out), "--where", "step > 1 or step is null", "--title", "T & <t>"]
    done = CliRunner().invoke(main, [*words, "--quantity", "trace * 2"])
    assert done.exit_code == 0, done.output
    assert re.fullmatch(rf"wrote {out}: 13 checkpoints of 2 runs, \d+\.\d MB\n", done.output)
    assert "<h1>T &amp; &lt;t&gt;</h1>" in out.read_text()
    program = "import sys; from scalecurv.report import page; print(sorted({'torch', 'ray'} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_every_script_and_template_is_used() -> None:
    from scalecurv.report.page import HERE

    assert {path.stem for path in (HERE / "assets").glob("*.js")} == set(SCRIPTS)
    pages = "".join(path.read_text() for path in (HERE / "templates").rglob("*.html"))
    assert all(f"sections/{path.name}" in pages for path in (HERE / "templates" / "sections").iterdir())
    lines = {
        path.name: len(path.read_text().splitlines())
        for path in HERE.rglob("*.*")
        if path.suffix in (".js", ".css", ".html")
    }
    assert {name: count for name, count in lines.items() if count > 250} == {}


def test_a_link_stays_a_link_and_no_device_is_replaced(store: Store, tmp_path: Path) -> None:
    link, device = tmp_path / "link.html", tmp_path / "device.html"
    link.symlink_to(tmp_path / "real.html")
    device.symlink_to("/dev/null")
    write_report(store, link)
    assert link.is_symlink()
    assert (tmp_path / "real.html").stat().st_size > 1e6
    with pytest.raises(Misuse, match=r"device.html is a device or a pipe; give a file"):
        write_report(store, device)
    with pytest.raises(Misuse, match="File name too long"):
        write_report(store, tmp_path / f"{'x' * 300}.html")
