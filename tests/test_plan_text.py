"""What a plan looks like, for people and for scripts."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import TINY
from plan_factories import make_job

from bnn_ablate.sweep.estimate import Estimate
from bnn_ablate.sweep.jobs import RefusedJob
from bnn_ablate.sweep.plan_output import to_csv, to_json
from bnn_ablate.sweep.plan_text import bytes_text, seeds_text, to_text
from bnn_ablate.sweep.planning import Plan, PlannedRun
from bnn_ablate.sweep.standing import Standing

REFUSED = RefusedJob(("scaling=x",), "scaling=x", "scaling=x makes no sense")


def planned(job, standing=None, *, whole=None, left=None, source="same cell", size=None, remark=None) -> PlannedRun:
    """A run of a plan made by hand, new where nothing else is said."""
    return PlannedRun(
        job=job,
        standing=Standing("new", 0, None) if standing is None else standing,
        whole=None if whole is None else Estimate(whole, source),
        left=None if left is None else Estimate(left, source),
        bytes_left=size,
        remark=remark,
    )


def plan_of(*runs: PlannedRun, **changes) -> Plan:
    plan = Plan(
        study="scaling-1234",
        root=Path("runs"),
        runs=runs,
        refused=(),
        repeated=0,
        at_a_time=2,
        bytes_free=10_000_000_000,
        unreadable=0,
    )
    return replace(plan, **changes)


def test_few_runs_have_a_line_each(make_settings):
    settings = make_settings(*TINY)
    channel = make_settings(*TINY, "scaling=channel")
    jobs = [make_job(settings, "scaling=none", seed=seed) for seed in (0, 1)]
    jobs += [make_job(channel, "scaling=channel", seed=seed) for seed in (0, 1)]
    ids = [job.run_id for job in jobs]
    plan = plan_of(
        planned(jobs[0], Standing("done", 3, None)),
        planned(jobs[1], Standing("stopped", 1, None), whole=90.0, left=60.0, size=1_500_000),
        planned(jobs[2], whole=7200.0, left=7200.0, source="like runs", size=20_000_000),
        planned(jobs[3], remark="was not timed"),
        refused=(REFUSED,),
        repeated=1,
    )
    assert to_text(plan).splitlines() == [
        "scaling-1234: 4 runs in 2 cells, in runs",
        "",
        "cell             seed  run           state                      a run   left    disk",
        f"scaling=none     0     {ids[0]}  done",
        f"                 1     {ids[1]}  stopped at epoch 1 of 3   90 s a   60 s  1.5 MB",
        f"scaling=channel  0     {ids[2]}  new                      2.0 h b  2.0 h   20 MB",
        f"                 1     {ids[3]}  new                                   ?",
        "",
        "1 done, 1 stopped, 2 new, 1 combination refused, 1 combination the same as another one",
        "  refused: scaling=x: scaling=x makes no sense",
        f"  new: {ids[3]}: was not timed",
        "time left: 2.0 h and 1 run of unknown time; "
        "2.0 h with 2 at a time (hydra.launcher.n_jobs), each as fast as alone",
        "  a  from finished runs of the same cell on this machine's processor",
        "  b  from finished runs like it on this machine's processor, scaled by images, parameters and MACs",
        "disk: 22 MB more; 10 GB are free where runs is",
    ]


def test_many_runs_have_a_line_a_cell_within_the_width_of_a_page(make_settings):
    settings = make_settings(*TINY)
    runs = []
    for cell in range(200):
        label = f"recipe.optimizer.lr={cell + 1} scaling=channel grad=approxsign_both bottleneck=classic_macs order=pre"
        optimizer = replace(settings.recipe.optimizer, lr=float(cell + 1))
        for seed in range(5):
            job = make_job(settings, label, seed=seed, recipe=replace(settings.recipe, optimizer=optimizer))
            done = Standing("done", 3, None)
            runs.append(planned(job, done) if seed < 2 else planned(job, whole=90.0, left=90.0, size=10**6))
    lines = to_text(plan_of(*runs)).splitlines()
    assert max(map(len, lines)) <= 118
    cells = [line.split() for line in lines if "done, " in line][:-1]
    assert len(cells) == 200
    first = runs[0].job.run_id
    assert cells[0][-13:] == [
        *("0-4", first, "+4", "2", "done,", "3", "new"),
        *("90", "s", "a", "4.5", "min", "3.0"),
    ] or (
        cells[0][-14:]
        == [*("0-4", first, "+4", "2", "done,", "3", "new"), *("90", "s", "a", "4.5", "min", "3.0", "MB")]
    )
    assert "400 done, 600 new" in lines


def test_a_plan_that_does_not_fit_on_the_disk_says_so(make_settings):
    job = make_job(make_settings(*TINY))
    run = planned(job, whole=1.0, left=1.0, size=2_000_000_000)
    assert "warning" not in to_text(plan_of(run, bytes_free=2_000_000_000))
    assert "warning: that is more than there is" in to_text(plan_of(run, bytes_free=1_999_999_999))


@pytest.mark.parametrize(
    ("seeds", "text"), [([0], "0"), ([0, 1], "0,1"), ([2, 0, 1], "0-2"), ([0, 2, 7], "0,2,7"), ([3, 4, 5, 6], "3-6")]
)
def test_seeds_are_told_in_short(seeds, text):
    assert seeds_text(seeds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (44_000_000, "44 MB"), (2.5e9, "2.5 GB"), (3e12, "3.0 TB")],
)
def test_bytes_are_told_in_powers_of_ten(size, text):
    assert bytes_text(size) == text


def test_scripts_get_every_run_with_the_same_fields(make_settings):
    settings = make_settings(*TINY)
    jobs = [make_job(settings, "order=post", seed=seed) for seed in (0, 1, 2)]
    plan = plan_of(
        planned(jobs[0], Standing("done", 3, None)),
        planned(jobs[1], Standing("stopped", 1, None), whole=90.0, left=60.0, size=1_500_000),
        planned(jobs[2], remark="was not timed"),
        refused=(REFUSED,),
    )
    whole = json.loads(to_json(plan))
    assert {key: value for key, value in whole.items() if key != "runs"} == {
        "study": "scaling-1234",
        "root": "runs",
        "repeated": 0,
        "at_a_time": 2,
        "without_estimate": 1,
        "seconds_left": 60.0,
        "wall_seconds": 60.0,
        "bytes_left": 1_500_000,
        "bytes_free": 10_000_000_000,
    }
    assert [set(run) for run in whole["runs"]] == [set(whole["runs"][0])] * 4
    assert [(run["state"], run["seconds_left"], run["estimate"], run["bytes_left"]) for run in whole["runs"]] == [
        ("done", 0.0, None, 0),
        ("stopped", 60.0, "same cell", 1_500_000),
        ("new", None, None, None),
        ("refused", None, None, None),
    ]
    second = whole["runs"][1]
    assert (second["run_id"], second["cell_id"], second["seed"]) == (jobs[1].run_id, jobs[1].ids.cell_id, 1)
    assert (second["label"], second["overrides"]) == ("order=post seed=1", ["order=post", "seed=1"])
    rows = list(csv.DictReader(io.StringIO(to_csv(plan))))
    assert [row["run_id"] for row in rows] == [*(job.run_id for job in jobs), ""]
    assert rows[1]["overrides"] == "order=post seed=1"
    assert rows[1]["seconds_left"] == "60.0"
