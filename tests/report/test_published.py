"""Figures of others are read strictly, each with its source and its confidence."""

from __future__ import annotations

from pathlib import Path

import pytest
from table_factories import PUBLISHED

from bnn_ablate.report.published.figures import MARKS, PublishedError, confidence_notes, read_published

HEAD = "network,top1,top1_confidence,source,confidence\n"


def write(tmp_path: Path, text: str, name: str = "figures.csv") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_a_figure_has_its_value_source_and_mark(tmp_path: Path) -> None:
    file = read_published(write(tmp_path, HEAD + "a,58.1,,some paper,secondary\n"))
    figure = file.one(network="a").figure("top1")
    assert figure is not None
    assert (figure.text, figure.value, figure.source, figure.mark) == ("58.1", 58.1, "some paper", "q")


def test_a_column_of_its_own_confidence_overrides_the_rows(tmp_path: Path) -> None:
    file = read_published(write(tmp_path, HEAD + "a,58.1,memory,some paper,primary\n"))
    figure, name = file.rows[0].figure("top1"), file.rows[0].figure("network")
    assert figure is not None
    assert name is not None
    assert (figure.mark, name.mark) == ("m", "")


def test_published_sizes_beside_recomputed_ones_have_the_source_and_mark_of_their_own() -> None:
    row = read_published(PUBLISHED / "architectures.csv").one(model="BinaryDenseNet45", dataset="imagenet")
    ours, theirs = row.figure("size_mib"), row.figure("published_size_mib")
    assert ours is not None
    assert theirs is not None
    assert (ours.mark, theirs.mark) == ("d", "r")
    assert theirs.source == "larq/docs zoo index"


def test_an_empty_cell_is_no_figure(tmp_path: Path) -> None:
    assert read_published(write(tmp_path, HEAD + "a,,,some paper,memory\n")).rows[0].figure("top1") is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (HEAD + "a,58.1,,some paper,sure\n", "figures.csv, line 2, column confidence: sure is no level of confidence"),
        (HEAD + "a,58.1,,some paper,\n", "figures.csv, line 2, column confidence: nothing is no level of confidence"),
        (HEAD + "a,58.1,,,memory\n", "figures.csv, line 2, column source: a figure without a source cannot be shown"),
        (HEAD + "a,58.1,,p,memory\nb,1\n", "figures.csv, line 3: it has 2 cells, and there are 5 columns"),
        ("", "figures.csv is empty: a line of column names is needed"),
        ("a,a\n", "figures.csv, line 1: every column needs a name of its own"),
    ],
)
def test_what_is_wrong_is_named_with_file_line_and_column(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(PublishedError) as error:
        read_published(write(tmp_path, text))
    assert str(error.value).startswith(sentence)


def test_a_wrong_confidence_of_one_column_is_named(tmp_path: Path) -> None:
    row = read_published(write(tmp_path, HEAD + "a,58.1,sure,p,memory\n")).rows[0]
    with pytest.raises(PublishedError, match="line 2, column top1_confidence: sure is no level of confidence"):
        row.figure("top1")


def test_a_line_that_is_not_there_or_not_alone_is_named(tmp_path: Path) -> None:
    file = read_published(write(tmp_path, HEAD + "a,1,,p,memory\na,2,,p,memory\n"))
    with pytest.raises(PublishedError, match="no line has network=b, and one is needed"):
        file.one(network="b")
    with pytest.raises(PublishedError, match="lines 2, 3 have network=a, and one is needed"):
        file.one(network="a")
    with pytest.raises(PublishedError, match="there is no column net: network, top1"):
        file.one(net="a")


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(PublishedError, match=r"^none\.csv cannot be read: No such file or directory$"):
        read_published(tmp_path / "none.csv")


def test_only_what_the_authors_say_themselves_has_no_mark() -> None:
    marks = {confidence: mark for confidence, (mark, _) in MARKS.items()}
    assert marks == {
        "primary": "",
        "authors_log": "",
        "authors_code": "",
        "replication": "r",
        "secondary": "q",
        "derived": "d",
        "memory": "m",
    }
    assert [note[0] for note in confidence_notes(["m", "q"])] == ["q", "m"]


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("runs", 68),
        ("curves", 6727),
        ("cifar10_ablation", 18),
        ("imagenet_ablation", 27),
        ("finetuning", 3),
        ("bottleneck", 2),
        ("depth_growth", 6),
        ("downsampling_reduction", 11),
        ("imagenet_comparison", 32),
        ("method_characteristics", 11),
        ("replications", 14),
        ("later_methods", 76),
        ("larq_benchmark", 13),
        ("voc_detection", 4),
        ("claims", 5),
        ("architectures", 47),
    ],
)
def test_the_committed_files_can_be_read_and_are_whole(name: str, rows: int) -> None:
    assert len(read_published(PUBLISHED / f"{name}.csv").rows) == rows


def test_last_epochs_of_the_logs_are_the_last_rows_of_their_curves() -> None:
    last = {row.cells["log"]: row.cells["val_top1"] for row in read_published(PUBLISHED / "curves.csv").rows}
    for row in read_published(PUBLISHED / "runs.csv").rows:
        assert float(last[row.cells["log"]]) == float(row.cells["last_top1"]), row.cells["log"]
