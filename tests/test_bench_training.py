"""The training benchmark: who takes part, what becomes of times and memory, and what it refuses."""

from __future__ import annotations

import csv
import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image

from bnn_ablate.bench.__main__ import main
from bnn_ablate.bench.measure import Sample
from bnn_ablate.bench.training import command as training
from bnn_ablate.bench.training import processes as training_processes
from bnn_ablate.bench.training.chart import chart
from bnn_ablate.bench.training.contenders import CONTENDERS, Load
from bnn_ablate.bench.training.files import write
from bnn_ablate.bench.training.processes import ProcessError, as_text, group_from, with_memory
from bnn_ablate.bench.training.results import Group, Memory, Results, Row
from bnn_ablate.bench.training.table import group_table, markdown, summary

LOAD = Load(batch=8, features=16, threads=1)
FACTS = {"processor": "a processor", "kernel": "portable", "versions": "torch 9, bitorch 8", "time": "today"}


def samples(*seconds: float) -> dict[int, Sample]:
    """Steps in the first rounds, whose processor time is twice the wall's."""
    return {i: Sample(wall, 2 * wall) for i, wall in enumerate(seconds)}


@pytest.fixture
def group() -> Group:
    """Ours take 1/2, 1/4 and 1/8 of the float network's step, which itself becomes slower; bitorch is missing."""
    rows = (
        Row("float", "float ResNet18", False, "", samples(1.0, 2.0, 4.0), Memory(600.0, 250.0)),
        Row("packed", "ResNetE18, packed", True, "", samples(0.5, 0.5, 0.5), Memory(300.0, 100.0)),
        Row("bitorch", "ResNetE18, bitorch", False, "not installed"),
        Row("larq", "ResNetE18, larq", False, "", samples(4.0, 4.0, 4.0), Memory(900.0, None)),
    )
    return Group(LOAD, rows, others=0.04)


def cells(text: str, start: str) -> list[str]:
    """The cells of the table's line whose first one is ``start``."""
    lines = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in text.splitlines()]
    return next(line for line in lines if line[0] == start)


def test_ratios_are_to_the_float_step_of_the_same_round(group: Group) -> None:
    text = group_table(group)
    # 0.5 / (1, 2, 4) and 4 / (1, 2, 4)
    ours = ["16.0", "500", "0.25", "[0.12, 0.50]", "1000", "0.25", "[0.12, 0.50]", "300", "100", ""]
    assert cells(text, "**ResNetE18, packed**")[1:] == ours
    larq = ["2.0", "4000", "2.00", "[1.00, 4.00]", "8000", "2.00", "[1.00, 4.00]", "900", "", ""]
    assert cells(text, "ResNetE18, larq")[1:] == larq
    assert "3 rounds; meanwhile others used 0.04 processors." in text


def test_a_ratio_is_the_median_over_rounds_and_not_that_of_medians() -> None:
    rows = (
        Row("float", "float", False, "", samples(1.0, 2.0, 3.0)),
        Row("packed", "ours", True, "", samples(3.0, 1.0, 2.0)),
    )
    ratio = Group(LOAD, rows, None).ratio(rows[1], "wall")
    assert (ratio.median, ratio.least, ratio.largest) == (pytest.approx(2 / 3), 0.5, 3.0)  # medians: 2 / 2


def test_who_is_missing_has_a_row_that_says_so(group: Group) -> None:
    assert cells(group_table(group), "ResNetE18, bitorch")[1:] == [*[""] * 9, "not installed"]


def test_the_report_of_several_groups_has_all_ratios_in_short(group: Group) -> None:
    alone = Group(Load(8, 16, 2), group.rows[:2], None)
    text = summary([group, alone])
    assert cells(text, "")[1:] == ["float", "packed", "larq"]  # nobody measured bitorch
    assert cells(text, "batch 8, width 16, 1 thread")[1:] == ["1.00", "0.25", "2.00"]
    assert cells(text, "batch 8, width 16, 2 threads")[1:] == ["1.00", "0.25", ""]
    assert text in markdown(Results(FACTS, (group, alone)))


def test_all_steps_and_a_chart_are_written(group: Group, tmp_path: Path) -> None:
    files = write(Results(FACTS, (group,)), tmp_path)
    assert sorted(path.name for path in files) == [
        f"training.{ending}" for ending in ("csv", "json", "md", "png", "svg")
    ]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    lines = [line for line in csv.DictReader((tmp_path / "training.csv").open()) if line["contender"] == "packed"]
    assert [(line["round"], float(line["ratio"])) for line in lines] == [("0", 0.5), ("1", 0.25), ("2", 0.125)]
    assert {(line["batch"], line["width"], line["threads"], line["live_mib"]) for line in lines} == {
        ("8", "16", "1", "100.0")
    }
    whole = json.loads((tmp_path / "training.json").read_text())
    assert whole["groups"][0]["rows"][1]["samples"]["2"] == {"wall": 0.5, "cpu": 1.0}
    text = (tmp_path / "training.md").read_text()
    assert "- kernel: portable" in text
    assert "- versions: torch 9, bitorch 8" in text
    assert ElementTree.parse(tmp_path / "training.svg").getroot().tag.endswith("svg")
    with Image.open(tmp_path / "training.png") as picture:
        assert picture.width > 800


def test_the_chart_has_a_column_for_each_number_of_threads(group: Group) -> None:
    loads = [Load(8, 16, 1), Load(8, 16, 2), Load(8, 64, 1)]
    picture = chart(Results(FACTS, tuple(replace(group, load=load) for load in loads)))["svg"].decode()
    assert all(f"<!-- {load.title} -->" in picture for load in loads)
    assert picture.count("<!-- ResNetE18, packed -->") == 2  # names stand at the first of a line only


def test_nothing_is_written_where_the_last_part_cannot_be_made(
    group: Group, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(results: Results) -> dict[str, bytes]:
        raise KeyboardInterrupt

    monkeypatch.setattr("bnn_ablate.bench.training.files.chart", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(Results(FACTS, (group,)), tmp_path)
    assert list(tmp_path.iterdir()) == []


# --- processes ---


def test_a_group_travels_as_text(group: Group) -> None:
    assert group_from(json.loads(as_text(group))) == group


def test_memory_that_cannot_be_measured_is_said_in_the_row(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command[command.index("--contender") + 1])
        if asked[-1] == "packed":
            return subprocess.CompletedProcess(command, -9, "", "")
        return subprocess.CompletedProcess(command, 0, "a library's word\n600.5 200.25\n", "")

    monkeypatch.setattr(training_processes.subprocess, "run", run)
    rows = with_memory(group, allocator="kept").rows
    assert asked == ["float", "packed", "larq"]  # bitorch has no steps
    assert rows[0].memory == Memory(600.5, 200.25)
    assert rows[1].note == "memory: memory of batch 8, width 16, 1 thread ended with code -9: no word"


# --- the command ---


def test_the_command_measures_in_processes_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "deep" / "bench"
    load = ["--batch", "2", "--width", "16", "--threads", "1", "--rounds", "2"]
    assert main(["training", *load, "--contenders", "float", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "allocator: freed memory is kept" in printed
    resident, live, note = cells(printed, "float ResNet18")[-3:]
    # weights, gradients and two moments of a float ResNet18 of 0.7 million parameters are 11 MiB
    assert float(resident) > 11
    assert float(live) > 11 / 4
    assert note == ""
    lines = list(csv.DictReader((out / "training.csv").open()))
    assert [(line["contender"], line["round"], line["ratio"]) for line in lines] == [
        ("float", "0", "1.0"),
        ("float", "1", "1.0"),
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--contenders", "packed", "larc"], "invalid choice: 'larc' (choose from "),
        (["--batch", "0"], "argument --batch: 0 is no whole number from 1 on"),
        (["--threads", "1", "9999"], "error: --threads 9999 is more than 256"),
        (["--allocator", "jemalloc"], "argument --allocator: invalid choice: 'jemalloc'"),
        (["--quick", "--batch", "64", "--width", "16"], "1 thread, nothing compiled: leave out --batch, --width, or"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(["training", *arguments, "--out", str(tmp_path / "out")])
    except SystemExit as left:
        code = left.code
    printed = capsys.readouterr().out
    assert code == 1
    assert printed.startswith("error: ")
    assert sentence in printed
    assert printed.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_all_names_of_contenders_are_told_to_who_misspells_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["training", "--contenders", "larc"])
    printed = capsys.readouterr().out
    names = [
        "float",
        "float-compiled",
        "float-bf16",
        "packed",
        "float-path",
        "separate",
        "densenet28",
        "bitorch",
        "larq",
    ]
    assert all(name in printed for name in names)
    assert list(CONTENDERS) == names


def asked(*arguments: str) -> Any:
    return training.parser().parse_args(["training", *arguments])


def test_without_options_it_is_everything() -> None:
    loads = training.loads_of(asked())
    assert [(load.features, load.batch, load.threads) for load in loads] == [
        *((64, 64, 1), (64, 64, 2), (64, 128, 1), (64, 128, 2)),
        *((16, 64, 1), (16, 64, 2), (16, 128, 1), (16, 128, 2)),
    ]
    assert training.names_of(asked()) == list(CONTENDERS)


def test_a_quick_one_is_one_group_and_nothing_is_compiled() -> None:
    assert training.loads_of(asked("--quick")) == [Load(64, 64, 1)]
    assert training.names_of(asked("--quick")) == [name for name in CONTENDERS if name != "float-compiled"]


def test_the_float_network_is_always_measured() -> None:
    assert training.names_of(asked("--contenders", "separate", "packed")) == ["float", "packed", "separate"]


def stands_in(monkeypatch: pytest.MonkeyPatch, group: Group) -> list[dict[str, Any]]:
    """Answer with ``group`` in place of measuring; what was asked for."""
    calls: list[dict[str, Any]] = []

    def group_of(names: list[str], load: Load, **asked: Any) -> Group:
        calls.append({"names": names, "load": load, **asked})
        return replace(group, load=load)

    monkeypatch.setattr(training.machine, "idle_check", lambda: 0.5)
    monkeypatch.setattr(training, "group_of", group_of)
    monkeypatch.setattr(training, "with_memory", lambda found, *, allocator: found)
    return calls


def test_options_reach_every_group(
    group: Group, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = stands_in(monkeypatch, group)
    arguments = ["--batch", "8", "8", "--width", "16", "--threads", "1", "2", "--rounds", "4", "--profile"]
    assert main(["training", *arguments, "--allocator", "as-it-comes", "--out", str(tmp_path)]) == 0
    assert [call["load"] for call in calls] == [Load(8, 16, 1), Load(8, 16, 2)]
    assert {(call["rounds"], call["allocator"], call["profiles"]) for call in calls} == {(4, "as-it-comes", True)}
    assert "warning: others use 0.50 processors now" in capsys.readouterr().out
    assert "- allocator: as it comes" in (tmp_path / "training.md").read_text()


def test_profiles_are_shown(
    group: Group, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = (replace(group.rows[0], profile="aten::convolution 90 %"), *group.rows[1:])
    stands_in(monkeypatch, replace(group, rows=rows))
    assert main(["training", "--quick", "--profile", "--out", str(tmp_path)]) == 0
    assert "float ResNet18, batch 64, width 64, 1 thread\naten::convolution 90 %" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("stopped", "code", "sentence"),
    [
        (KeyboardInterrupt(), 130, "stopped; nothing is written"),
        (ProcessError("group of batch 8 ended with code -9: no word"), 1, "error: group of batch 8 ended with code -9"),
    ],
)
def test_a_run_that_is_stopped_leaves_what_was_there(
    stopped: BaseException,
    code: int,
    sentence: str,
    group: Group,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "training.md").write_text("of before")
    stands_in(monkeypatch, group)

    def memory(found: Group, *, allocator: str) -> Group:
        raise stopped

    monkeypatch.setattr(training, "with_memory", memory)
    assert main(["training", "--quick", "--out", str(tmp_path)]) == code
    assert sentence in capsys.readouterr().out.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["training.md"]
    assert (tmp_path / "training.md").read_text() == "of before"


def test_an_allocator_that_cannot_be_set_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training_processes, "keep_freed_memory", lambda: False)
    load = ["--batch", "2", "--width", "16", "--threads", "1", "--allocator", "kept"]
    assert main(["memory", *load, "--contender", "packed"]) == 1
    assert capsys.readouterr().out.startswith("error: --allocator kept is a setting of glibc")
