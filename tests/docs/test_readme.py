"""What the README, the Makefile and docs/ promise, tried as written; slower than the suite: `make test-docs`."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import composed
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser

from bnn_ablate.job import settings_of
from bnn_ablate.packed import available_kernels
from bnn_ablate.store import Store

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def lines_of_code() -> list[str]:
    """Indented lines of the pages, which Markdown shows as code."""
    texts = [re.sub(r"\\\n\s+", "", page.read_text()) for page in PAGES]  # continued lines are one
    return [line.strip() for text in texts for line in text.splitlines() if line.startswith("    ")]


def commands(start: str) -> list[str]:
    return sorted({line.split("  #")[0].strip() for line in lines_of_code() if line.startswith(start)})


def test_there_are_commands_to_try():
    assert len(commands("python -m bnn_ablate")) >= 4
    assert len(commands("make ")) >= 4


@pytest.mark.parametrize("command", commands("python -m bnn_ablate "))
def test_every_command_in_the_pages_composes_to_settings(command):
    overrides = [word for word in shlex.split(command)[3:] if word != "-m"]
    parsed = OverridesParser.create().parse_overrides(overrides)
    (jobs,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    for job in jobs:
        settings_of(composed(*job))


@pytest.mark.parametrize("command", commands("make "))
def test_every_make_target_in_the_pages_exists(command):
    target = command.split()[1]
    assert re.search(rf"^{target}:.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_make_help_lists_every_target():
    command = ["make", "--no-print-directory", "help"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert [line.split()[0] for line in listed.splitlines()] == targets


def test_every_file_that_a_page_links_to_exists():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert target.startswith("http") or (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_demo_trains_four_networks_above_93_percent_and_writes_their_table(tmp_path):
    (line,) = re.findall(r"^\t\$\(BIN\)/python (-m bnn_ablate -m .*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    environment = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, *shlex.split(line)], cwd=tmp_path, capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.count("1 of 1") == 4
    (header,) = [line for line in done.stdout.splitlines() if line.startswith("scaling  grad")]
    # how wide a column is depends on how fast the machine is
    assert header.split() in [line.split() for line in (ROOT / "README.md").read_text().splitlines()]
    records = [run.record() for run in Store(tmp_path / "runs").runs()]
    assert len(records) == 4
    assert min(record.accuracy.top1 for record in records) > 0.93
    for command in commands("python -m bnn_ablate.evaluate run="):
        words = [word for word in shlex.split(command)[1:] if "avx2" not in word or "avx2" in available_kernels()]
        words = [word.replace("run=ID", f"run={records[0].run_id}") for word in words]
        subprocess.run([sys.executable, *words], cwd=tmp_path, check=True, env=environment)
    assert len(list((tmp_path / "runs" / records[0].run_id / "evaluations").iterdir())) == 2
    subprocess.run([sys.executable, "-m", "bnn_ablate.report"], cwd=tmp_path, check=True, env=environment)
    table = (tmp_path / "reports" / "tables" / "demo.md").read_text()
    assert "not evidence" in table
    assert table.count("1 of 1") == 4
