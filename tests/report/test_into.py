"""Tables of a report between the markers of a page of one's own."""

from __future__ import annotations

import pytest
from factories import make_record, put_done, put_study

from bnn_ablate.report.__main__ import main

PAGE = """\
# Mine

<!-- table grid columns=scaling,n,top1_percent where=scaling=channel -->
old
<!-- /table -->

what stands around stays
"""


@pytest.fixture
def runs(tmp_path):
    root = tmp_path / "runs"
    jobs = [(f"scaling={name}", put_done(root, make_record(scaling=name, correct=8))) for name in ("none", "channel")]
    put_study(root, "grid", jobs)
    return root


def fill(runs, text: str) -> tuple[int, str]:
    page = runs.parent / "page.md"
    page.write_text(text)
    status = main([f"runs={runs}", f"out={runs.parent / 'out'}", "figures=no", f"into={page}"])
    return status, page.read_text()


def test_a_table_takes_the_place_of_what_stood_between_its_markers(runs):
    status, text = fill(runs, PAGE)
    assert status == 0
    assert text == PAGE.replace(
        "old\n",
        "\n| scaling |      n | top-1 % |\n| ------- | -----: | ------: |\n| channel | 1 of 1 |   80.00 |\n\n",
    )


def test_what_holds_spaces_is_quoted(runs):
    page = '<!-- table grid columns=scaling "where=state=2 done" -->\n<!-- /table -->\n'
    assert fill(runs, page)[0] == 2  # every row is "done"
    status, text = fill(runs, page.replace('"where=state=2 done"', '"where=state=done"'))
    assert (status, text.count("\n| ")) == (0, 4)


def test_filling_a_page_again_changes_nothing(runs):
    _, once = fill(runs, PAGE)
    assert fill(runs, once) == (0, once)


@pytest.mark.parametrize(
    ("marker", "sentence"),
    [
        ("<!-- table grids -->", "the report has no table grids: its tables are "),
        ("<!-- table grid columns=top2 -->", "grid has no column top2: its columns are scaling, "),
        ("<!-- table grid where=scaling=xnor -->", "no row has scaling=xnor: there are none, channel"),
        ('<!-- table grid "where=n -->', "No closing quotation"),
        ("<!-- table grid rows=3 -->", "rows=3 is neither columns=KEY,KEY nor where=KEY=VALUE"),
    ],
)
def test_a_marker_that_asks_for_what_is_not_there_is_named_and_the_page_left(runs, capsys, marker, sentence):
    text = f"{marker}\n<!-- /table -->\n"
    assert fill(runs, text) == (2, text)
    assert f"page.md: {marker}: {sentence}" in capsys.readouterr().err
    assert not (runs.parent / "out").exists()


def test_a_marker_without_an_end_is_named(runs, capsys):
    text = "<!-- table grid -->\nthe rest of the page\n"
    assert fill(runs, text) == (2, text)
    assert "no <!-- /table --> follows" in capsys.readouterr().err


def test_a_page_that_is_not_there_is_named(runs, capsys):
    assert main([f"runs={runs}", f"out={runs.parent / 'out'}", f"into={runs / 'none.md'}"]) == 2
    assert "none.md cannot be read: No such file or directory" in capsys.readouterr().err
