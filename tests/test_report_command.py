"""The command that makes the report, and texts and numbers as a reader sees them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from factories import make_record, make_report, put_grid, put_status, put_study
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn_ablate.report.__main__ import main
from bnn_ablate.report.numbers import duration, markdown, one_line, significant
from bnn_ablate.report.tables import study_table


def unescaped_bars(line: str) -> int:
    return len(re.findall(r"(?<!\\)(?:\\\\)*\|", line))


@settings(max_examples=50)
@given(st.text(max_size=30))
def test_no_text_breaks_a_markdown_row(text: str) -> None:
    assert unescaped_bars(f"| {markdown(text)} |") == 2
    assert len(f"x{one_line(text)}x".splitlines()) == 1


def test_names_and_errors_with_bars_and_line_breaks_keep_the_table_whole(tmp_path: Path) -> None:
    failed = put_status(tmp_path, make_record(), "failed", "a | b <script> \x1b[31m\nmore")
    put_study(tmp_path, "x|y\nz", [("+note=p|q seed=0", failed), ("+note=r seed=0", None)])
    assert make_report(tmp_path, out=tmp_path / "out") == 0
    (page,) = (tmp_path / "out" / "tables").glob("x*z.md")
    rows = [line for line in page.read_text().split("\n") if line.startswith("|")]
    assert len({unescaped_bars(row) for row in rows}) == 1
    text = study_table(tmp_path, "x|y\nz")
    assert text.startswith("x|y z\n")
    assert "\x1b" not in text


@pytest.mark.parametrize(
    "argument",
    ["colour=red", "run=runs", "runs=", "runs", "--out", "runs=/no/such/folder", "out=a out=b", "figures=none"],
)
def test_a_wrong_argument_is_refused_in_one_sentence(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argument.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1


def test_an_empty_store_gives_an_index_that_says_so(tmp_path: Path) -> None:
    assert make_report(tmp_path, out=tmp_path / "out") == 0
    assert "There are no runs yet." in (tmp_path / "out" / "index.md").read_text()


def test_the_command_takes_its_defaults_and_imports_no_torch(tmp_path: Path) -> None:
    put_grid(tmp_path / "runs")
    code = (
        "import runpy, sys; sys.argv = ['report']\n"
        "try: runpy.run_module('bnn_ablate.report', run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "assert not {'torch', 'pytorch_lightning', 'hydra', 'wandb', 'pandas'} & set(sys.modules)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    told = result.stdout.splitlines()
    assert "reports/tables/grid.md: 4 cells, 4 of 10 runs done" in told
    assert told[-1].startswith("reports/index.html: ")
    assert told[-1].endswith(", 0 problems")
    assert (tmp_path / "reports" / "tables" / "grid.md").exists()
    assert (tmp_path / "reports" / "figures" / "grid.curves.svg").exists()


def test_help_names_the_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert {"runs=DIR", "out=DIR"} <= set(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.07123, "0.0712"), (1.25, "1.25"), (12.34, "12.3"), (123.4, "123"), (1234.5, "1234"), (1.0, "1.00")],
)
def test_numbers_are_shown_with_three_digits_and_no_exponent(value: float, shown: str) -> None:
    assert significant(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.5, "0.50 s"), (12, "12 s"), (119, "119 s"), (120, "2.0 min"), (5400, "90 min"), (9000, "2.5 h")],
)
def test_times_are_shown_in_the_unit_that_fits(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
