"""Tables in README and docs are those that the committed records give."""

from __future__ import annotations

from pathlib import Path

import pytest

from bnn_ablate.report.__main__ import main
from bnn_ablate.report.sources import RECORDS

ROOT = Path(__file__).parent.parent.parent
PAGES = [
    page for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if "\n<!-- table " in page.read_text()
]


@pytest.fixture(scope="module")
def remade(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The pages with their tables made anew from reports/records alone."""
    folder = tmp_path_factory.mktemp("pages")
    copies = []
    for page in PAGES:
        copies.append(folder / page.name)
        copies[-1].write_text(page.read_text())
    assert main([f"runs={RECORDS}", f"out={folder / 'out'}", "figures=no", *(f"into={copy}" for copy in copies)]) == 0
    return {copy.name: copy.read_text() for copy in copies}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_tables_of_a_page_are_what_its_records_give(page: Path, remade: dict[str, str]) -> None:
    assert page.read_text() == remade[page.name]
