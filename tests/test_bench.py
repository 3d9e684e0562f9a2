"""The inference benchmark: who takes part, whose answers are refused, and what becomes of the times."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from bnn_ablate.bench import contest, machine, networks
from bnn_ablate.bench.__main__ import main
from bnn_ablate.bench.files import write
from bnn_ablate.bench.measure import Sample, checked, compare, interleaved
from bnn_ablate.bench.peers import Contender, UnavailableError
from bnn_ablate.bench.results import Group, Layers, Results, Row
from bnn_ablate.bench.tables import group_table, layer_table, summary, table
from bnn_ablate.evaluations import LayerTime
from bnn_ablate.latency import Usage

TINY = ("model.width=0.25", "model.blocks_per_stage=[2,2]", "model.channels=[64,128]")
FACTS = {"processor": "a processor", "kernel": "portable", "time": "today"}


def samples(*milliseconds: float) -> dict[int, Sample]:
    """Calls in the first rounds, whose processor time is half of the wall's."""
    return {i: Sample(time / 1e3, time / 2e3) for i, time in enumerate(milliseconds)}


@pytest.fixture
def group() -> Group:
    """Two images a call: ours take 1, 2, 3, 4, 5 ms an image, OpenVINO thrice as long, a slow one was asked twice."""
    rows = (
        Row("Net", "bnn_ablate packed (portable)", True, "Net", "", samples(2, 4, 6, 8, 10)),
        Row("Net", "OpenVINO packed", False, "Net", "8/8 equal", samples(6, 12, 18, 24, 30)),
        Row("Net", "larq-compute-engine", False, "Net", "not installed"),
        Row("ResNet18 int8", "OpenVINO", False, "Net", "", {0: Sample(0.020, 0.02), 4: Sample(0.040, 0.04)}),
    )
    return Group(224, 2, 1, rows, others=0.04)


@pytest.fixture
def layers() -> Layers:
    """Two binary convolutions at 600 of 1000 MACs a nanosecond, and a stem."""
    steps = (
        LayerTime(kind="winograd", names=["stem.0"], seconds=300e-6, macs=3_000_000, share_of_peak=None),
        LayerTime(kind="bconv", names=["a.conv", "a.norm"], seconds=100e-6, macs=50_000_000, share_of_peak=0.5),
        LayerTime(kind="bconv", names=["b.conv"], seconds=100e-6, macs=70_000_000, share_of_peak=0.7),
    )
    return Layers("Net", "portable", 224, steps, 1e12, 120_000_000, 200e-6, 4 * 2**20, 2**19)


def cells(text: str, start: str) -> list[str]:
    """The cells of the table's line whose first one is ``start``."""
    lines = [[cell.strip() for cell in line.strip("| ").split("|")] for line in text.splitlines()]
    return next(line for line in lines if line[0] == start)


def test_times_are_those_of_an_image_and_ratios_are_taken_round_by_round(group: Group) -> None:
    text = group_table(group)
    ours, openvino = cells(text, "**Net, bnn_ablate packed (portable)**"), cells(text, "Net, OpenVINO packed")
    assert ours[1:] == ["3.000", "[2.000, 4.000]", "1.00", "[1.00, 1.00]", "1.500", "1.00", "5"]
    assert openvino[1:] == ["9.000", "[6.000, 12.000]", "3.00", "[3.00, 3.00]", "4.500", "3.00", "5", "8/8 equal"]
    # 20 / 2 in the first round and 40 / 10 in the last
    assert cells(text, "ResNet18 int8, OpenVINO")[3:5] == ["7.00", "[5.50, 8.50]"]
    assert "others used 0.04 processors." in text


def test_who_is_missing_has_a_row_that_says_so(group: Group) -> None:
    assert cells(group_table(group), "Net, larq-compute-engine")[-1] == "not installed"


def test_times_of_a_busy_machine_are_marked(group: Group) -> None:
    busy = Group(group.size, group.batch, group.threads, group.rows, others=0.9)
    assert "others used 0.90 processors; BUSY: these times are disturbed" in group_table(busy)


def test_the_summary_holds_the_best_of_each_and_the_gain_of_threads(group: Group) -> None:
    ours = Row("Net", "bnn_ablate packed (portable)", True, "Net", "", samples(3, 3, 3))
    two = Group(224, 2, 2, (ours,), None)
    text = summary([group, two])
    head, _, one_thread, two_threads, *_ = ([cell.strip() for cell in line.split("|")] for line in text.splitlines())
    assert head[1:-1] == [
        *("network", "image", "batch", "threads", "ms"),
        *("OpenVINO packed", "int8 ResNet18", "float32 ResNet18", "1 thread"),
    ]
    assert one_thread[1:-1] == ["Net", "224", "2", "1", "3.000", "3.00", "7.00", "", ""]
    assert two_threads[1:-1] == ["Net", "224", "2", "2", "1.500", "", "", "", "2.00"]


def test_binary_convolutions_have_one_share_of_the_peak_together(layers: Layers) -> None:
    text = layer_table(layers)
    assert "0.200 ms, 600 GMAC/s, 60% of the popcount peak" in text
    assert "Memory above the weights (4.00 MiB): 0.50 MiB." in text
    assert "a.conv" in text


def test_columns_of_tables_are_aligned() -> None:
    assert table([["a", "number"], ["longer", "1.5"]], right=[1]) == (
        "| a      | number |\n| ------ | -----: |\n| longer |    1.5 |"
    )


def test_all_samples_and_a_chart_are_written(group: Group, layers: Layers, tmp_path: Path) -> None:
    files = write(Results(FACTS, (group,), (layers,)), tmp_path)
    names = ["bench.csv", "bench.json", "bench.md", "224px-batch2-threads1.png", "224px-batch2-threads1.svg"]
    assert sorted(path.name for path in files) == sorted(names)
    rows = list(csv.DictReader((tmp_path / "bench.csv").open()))
    assert len(rows) == 12
    assert [float(row["seconds"]) for row in rows if row["engine"] == "OpenVINO packed"] == [
        *(0.006, 0.012, 0.018, 0.024, 0.030)
    ]
    whole = json.loads((tmp_path / "bench.json").read_text())
    assert whole["groups"][0]["rows"][3]["samples"] == {
        "0": {"wall": 0.02, "cpu": 0.02},
        "4": {"wall": 0.04, "cpu": 0.04},
    }
    assert "- kernel: portable" in (tmp_path / "bench.md").read_text()
    assert ElementTree.parse(tmp_path / "224px-batch2-threads1.svg").getroot().tag.endswith("svg")
    with Image.open(tmp_path / "224px-batch2-threads1.png") as picture:
        assert picture.width > 1000


def logits(images: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal((images, 10)).astype(np.float32)


def test_answers_that_differ_by_a_flipped_sign_in_some_images_are_right() -> None:
    expected = logits(8)
    answers = expected + np.float32(1e-6)
    answers[3] += np.float32(0.5)
    agreement = compare(answers, expected)
    assert (agreement.right, agreement.equal, agreement.images) == (True, 7, 8)


def test_answers_that_agree_on_no_image_are_wrong() -> None:
    assert not compare(logits(8, seed=1), logits(8)).right
    assert not compare(logits(8) + np.float32(0.01), logits(8)).right


def test_more_images_are_looked_at_where_the_first_disagree() -> None:
    images = np.arange(16, dtype=np.float32).reshape(16, 1, 1, 1)

    def right(batch: Any) -> Any:
        return batch.reshape(-1, 1) * np.ones(3, np.float32)

    def flips_early(batch: Any) -> Any:
        return right(batch) + (batch.reshape(-1, 1) < 12)

    agreement = checked(flips_early, right, 4, images)
    assert (agreement.right, agreement.images, agreement.equal) == (True, 16, 4)


def test_ours_take_part_in_every_round_and_each_call_is_on_the_given_images() -> None:
    calls: dict[str, int] = {"ours": 0, "other": 0}
    given = np.zeros((2, 1, 1, 1), np.float32)

    def counting(name: str) -> Any:
        def run(images: Any) -> Any:
            assert images is given
            calls[name] += 1

        return run

    found = interleaved({name: counting(name) for name in calls}, ["ours"], given, 5)
    assert list(found["ours"]) == list(found["other"]) == [0, 1, 2, 3, 4]
    assert calls == {"ours": 11, "other": 11}  # one to see how long it takes, then two a round


def peers_that(monkeypatch: pytest.MonkeyPatch, **runs: Any) -> None:
    """Make these the only ones who can run the binary network."""

    def offered(title: str, graph: Any, *, batch: int, threads: int) -> list[Contender]:
        return [Contender(title, name, frozenset({"openvino"}), make) for name, make in runs.items()]

    monkeypatch.setattr(contest, "same_network", offered)
    monkeypatch.setattr(contest, "float_networks", lambda *_, **__: [])


def test_a_wrong_contender_is_never_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    network = networks.binary_network("resnet_e18", 8, TINY)

    def absent() -> Any:
        raise UnavailableError("not installed")

    def broken() -> Any:
        raise RuntimeError("no such operator\nand more")

    peers_that(monkeypatch, wrong=lambda: lambda images: logits(len(images)), absent=absent, broken=broken)
    found = contest.contest(
        [network],
        batch=2,
        threads=1,
        kernel="portable",
        peers=frozenset({"openvino"}),
        simulate_all=True,
        rounds=1,
    )
    assert [(row.engine, bool(row.samples)) for row in found.rows] == [
        ("bnn_ablate packed (portable)", True),
        ("wrong", False),
        ("absent", False),
        ("broken", False),
    ]
    notes = [row.note for row in found.rows]
    assert re.fullmatch(r"wrong answers: 0/64 equal, \d+ same class, apart .+", notes[1])
    assert notes[2:] == ["not installed", "fails: RuntimeError: no such operator"]


def test_the_command_measures_a_network_and_its_simulation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "deep" / "bench"
    arguments = ["--models", "resnet_e18", "--sizes", "8", "--batch", "1", "2", "--threads", "1", "--rounds", "1"]
    asked = ["--peers", "simulation", "--kernel", "portable", "--out", str(out)]
    assert main([*arguments, *asked, *TINY]) == 0
    printed = capsys.readouterr().out
    title = " ".join(["ResNetE18", *TINY])
    for text in (
        "kernel: portable",
        f"**{title}, bnn_ablate packed (portable)**",
        f"{title}, torch, float simulation",
        "of the popcount peak",
        "8/8 equal",
    ):
        assert text in printed
    assert "OpenVINO" not in printed.split("setting up", 1)[1].split("| network", 1)[0]
    rows = list(csv.DictReader((out / "bench.csv").open()))
    assert {(row["batch"], row["engine"]) for row in rows} == {
        (batch, engine)
        for batch in ("1", "2")
        for engine in ("bnn_ablate packed (portable)", "torch, float simulation")
    }


def test_others_are_what_the_machine_used_and_this_process_did_not(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = [Usage(wall=10.0, process=3.0, thread=3.0, machine=100.0), Usage(14.0, 6.0, 6.0, 105.0)]
    monkeypatch.setattr(machine, "usage", lambda: moments.pop(0))
    assert machine.Others().processors() == 0.5  # (5 - 3) seconds of 4
    moments[:] = [Usage(10.0, 3.0, 3.0, None), Usage(14.0, 6.0, 6.0, None)]
    assert machine.Others().processors() is None


def test_batch_norms_of_the_networks_have_statistics_of_their_own() -> None:
    network = networks.binary_network("resnet_e18", 8, TINY)
    assert (network.shape, network.classes, network.module.training) == ((3, 8, 8), 10, False)
    state = network.module.state_dict()
    spreads = [
        float(values.std()) for name, values in state.items() if name.endswith("running_mean") and len(values) > 3
    ]
    assert len(spreads) >= 5
    assert all(value > 0 for value in spreads)
