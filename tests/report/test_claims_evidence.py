"""What a verdict may rest on: complete seeds, all that was asked, alike spread, whole runs, each of them once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import stdev

import pytest
from claims_factories import (
    BASE,
    State,
    claims_of,
    declaration,
    judged,
    line_of,
    plus,
    put_cells,
    put_runs,
    scored,
)
from factories import put_done, put_study

from bnn_ablate.record import Record
from bnn_ablate.store import Store

NONE, XNOR = "scaling=none", "scaling=xnor"
SURELY_NOTHING = (0.1, -0.1, 0.0, 0.0)
SURELY_MORE = (3.1, 2.9, 3.0, 3.0)
Runs = list[tuple[str, Record, State]]


def pair(states: dict[int, State], more: tuple[float, ...] = SURELY_NOTHING, **changes: str) -> Runs:
    """Runs of scaling=none, all done, and of scaling=xnor in these states by seed."""
    words = "".join(f" {key}={option}" for key, option in changes.items())
    of_none: Runs = [(NONE + words, scored(BASE[seed], seed=seed, **changes), "done") for seed in states]
    of_xnor: Runs = [
        (XNOR + words, scored(plus(*more)[seed], seed=seed, scaling="xnor", **changes), state)
        for seed, state in states.items()
    ]
    return of_none + of_xnor


# --- interim looks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["missing", "running"])
def test_before_all_declared_seeds_are_done_there_is_an_estimate_and_no_verdict(state: State, tmp_path):
    put_runs(tmp_path, pair({0: "done", 1: "done", 2: "done", 3: state}), declared=declaration(range(4)))
    line = line_of(judged(tmp_path, claims_of(tmp_path, {})))
    assert (line.verdict, line.why) == ("no verdict", "an interim look: 3 of 4 declared seeds are done")
    assert line.estimate is not None
    assert line.estimate.interval(0.95) is not None
    assert line.p_holm is None
    assert line.next == "the command of grid goes on with it"


def test_a_declared_seed_that_nobody_has_planned_is_still_to_come(tmp_path):
    put_runs(tmp_path, pair(dict.fromkeys(range(4), "done")), declared=declaration(range(8)))
    line = line_of(judged(tmp_path, claims_of(tmp_path, {})))
    assert line.why == "an interim look: 4 of 8 declared seeds are done"


@pytest.mark.parametrize("state", ["failed", "diverged"])
def test_a_lost_seed_is_waited_for_no_longer(state: State, tmp_path):
    put_runs(tmp_path, pair({0: "done", 1: "done", 2: "done", 3: state}), declared=declaration(range(4)))
    line = line_of(judged(tmp_path, claims_of(tmp_path, {})))
    assert line.verdict == "holds"
    assert line.marks == ("its cells have 3 to 4 runs", f"1 run {state}, in no mean")


def test_where_nothing_was_declared_no_look_is_an_interim_one_and_what_is_to_come_is_told(tmp_path):
    put_runs(tmp_path, pair({0: "done", 1: "done", 2: "done", 3: "missing"}))
    line = line_of(judged(tmp_path, claims_of(tmp_path, {})))
    assert line.verdict == "holds"
    assert line.marks[-1] == "1 of 8 planned runs still to come"


# --- what was asked -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["missing", "running", "failed", "done"])
def test_levels_are_shared_with_contrasts_of_the_study_that_have_no_result_yet(state: State, tmp_path):
    post = pair(dict.fromkeys(range(4), "done"), SURELY_MORE, order="post")
    pre = pair(dict.fromkeys(range(4), state), order="pre")
    put_runs(tmp_path, post + [(words, record, state) for words, record, _ in pre])
    contrasts = [{"name": order, "at": {"order": order}} for order in ("post", "pre")]
    line = line_of(judged(tmp_path, claims_of(tmp_path, *contrasts)), "post")
    assert (line.verdict, line.family) == ("contradicted", 2)
    assert line.estimate is not None
    assert line.estimate.p is not None
    assert line.p_holm == pytest.approx(2 * line.estimate.p)  # the smaller one of two


def test_a_planned_cell_is_told_as_not_run(tmp_path):
    put_runs(tmp_path, pair(dict.fromkeys(range(4), "missing")))
    line = line_of(judged(tmp_path, claims_of(tmp_path, {})))
    assert (line.verdict, line.why) == ("not run", "no result of scaling=xnor: 4 missing")


def test_a_contrast_that_never_gives_a_verdict_takes_none_from_its_claim(tmp_path):
    cells = {NONE: BASE, XNOR: plus(*SURELY_NOTHING), "scaling=channel": plus(*SURELY_MORE)}
    never = {"name": "channel", "after": {"scaling": "channel"}, "no_verdict": "it is the larger network"}
    put_cells(tmp_path, cells)
    narrow = judged(tmp_path, claims_of(tmp_path, {}, never))
    assert (narrow.elsewhere_verdict, narrow.share) == ("holds", None)
    full = tmp_path / "full"
    put_cells(full, cells, model={"width": 1.0})
    assert judged(full, claims_of(tmp_path, {}, never)).paper_verdict == "holds"


# --- chance -------------------------------------------------------------------------------------------------------


def test_float_networks_and_other_images_are_no_part_of_the_spread_of_binary_ones(tmp_path):
    def half_width(name: str, others: Runs) -> float:
        put_runs(tmp_path / name, pair(dict.fromkeys(range(4), "done")) + others)
        estimate = line_of(judged(tmp_path / name, claims_of(tmp_path, {}))).estimate
        assert estimate is not None
        assert estimate.se is not None
        return estimate.se

    steady = (0.0, 0.0, 0.0, 0.05)
    floats = {"weights": "float", "activations": "float"}
    twins: Runs = [
        (f"{scaling} weights=float activations=float", scored(p, seed=seed, scaling=scaling[8:], **floats), "done")
        for scaling in (NONE, XNOR)
        for seed, p in enumerate(plus(*steady))
    ]
    other: Runs = [
        (f"{scaling} data=cifar100", scored(p, seed=seed, scaling=scaling[8:], data="cifar100"), "done")
        for scaling in (NONE, XNOR)
        for seed, p in enumerate(plus(*steady))
    ]
    other = [(words, replace(one, data=replace(one.data, checksum="e" * 64)), state) for words, one, state in other]
    alone = half_width("alone", [])
    assert alone == pytest.approx(stdev(SURELY_NOTHING) / 2)
    assert half_width("twins", twins) == alone
    assert half_width("other", other) == alone


def test_where_the_spread_is_uneven_the_contrasts_own_cells_estimate_it_and_the_line_says_so(tmp_path):
    noisy = (-3.0, 3.0, 2.5, -2.5)
    cells = {f"{NONE} order=post": plus(*noisy), f"{XNOR} order=post": plus(2.0, -1.5, -2.0, 1.5)}
    steady = [(0.05, 0, 0, 0), (0, 0.05, 0, 0), (0, 0, 0.05, 0), (0, 0, 0, 0.05), (0, 0, 0, 0), (0, 0.05, 0, 0.05)]
    for number, points in enumerate(steady):
        cells[f"scaling=channel order=o{number}"] = plus(*points)
    put_cells(tmp_path, cells)
    line = line_of(judged(tmp_path, claims_of(tmp_path, {})))
    assert line.estimate is not None
    assert line.estimate.df == 3
    differences = [after - before for before, after in zip(noisy, (2.0, -1.5, -2.0, 1.5), strict=True)]
    assert line.estimate.se == pytest.approx(stdev(differences) / 2, rel=1e-3)
    (mark,) = [mark for mark in line.marks if mark.startswith("the spread is uneven (")]
    assert mark.endswith("so that it is estimated from its own cells alone")


def test_an_estimate_with_a_single_run_has_neither_interval_nor_p(tmp_path):
    cells = {
        f"{NONE} order=post": BASE,
        f"{XNOR} order=post": plus(0.3, -0.2, 0.1, 0.0),
        f"{NONE} order=pre": plus(0.1, 0.2, -0.3, 0.2),
        f"{XNOR} order=pre": plus(3.0),
    }
    put_cells(tmp_path, cells)
    line = line_of(judged(tmp_path, claims_of(tmp_path, {"compared_at": [{"order": "post"}, {"order": "pre"}]})))
    assert (line.verdict, line.why) == ("no verdict", "one run has no interval")
    assert line.estimate is not None
    assert (line.estimate.se, line.with_images, line.p_holm) == (None, None, None)


# --- runs ---------------------------------------------------------------------------------------------------------


def test_a_seed_that_all_cells_have_lost_to_broken_files_is_told(tmp_path):
    put_cells(tmp_path, {NONE: BASE, XNOR: plus(*SURELY_NOTHING)}, declared=declaration(range(4)))
    for scaling, percent in (("none", BASE[3]), ("xnor", plus(*SURELY_NOTHING)[3])):
        record = scored(percent, seed=3, scaling=scaling)
        (Store(tmp_path).run(record.run_id).path / "record.json").write_text("{")
    line = line_of(judged(tmp_path, claims_of(tmp_path, {})))
    assert (line.verdict, line.marks) == ("holds", ("2 runs broken, in no mean",))


def test_seeds_on_other_images_are_told(tmp_path):
    runs: Runs = []
    for words, record, state in pair(dict.fromkeys(range(4), "done")):
        checksum = "f" * 64 if record.seed > 1 else record.data.checksum
        runs.append((words, replace(record, data=replace(record.data, checksum=checksum)), state))
    put_runs(tmp_path, runs)
    marks = line_of(judged(tmp_path, claims_of(tmp_path, {}))).marks
    assert marks[-1] == "its runs are on 2 different sets of images"


def test_the_same_runs_under_two_names_count_once(tmp_path: Path):
    jobs = [
        (f"{words} seed={record.seed}", put_done(tmp_path, record))
        for words, record, _ in pair(dict.fromkeys(range(4), "done"))
    ]
    for name in ("first", "second"):
        put_study(tmp_path, name, jobs)
    one = judged(tmp_path, claims_of(tmp_path, {}))
    assert line_of(one, study="first").same_as is None
    assert line_of(one, study="second").marks[-1] == "same runs as first"
    assert one.elsewhere == "first: holds 1; second: the runs of first"


def test_the_same_runs_count_once_also_where_a_second_study_judges_them_more_strictly(tmp_path):
    # 0.75 with a standard error of 0.20 on 3 degrees of freedom: 95 % 0.65, of two contrasts 97.5 % 0.85
    post = pair(dict.fromkeys(range(4), "done"), (1.25, 0.25, 0.75, 0.75), order="post")
    jobs = [(f"{words} seed={record.seed}", put_done(tmp_path, record)) for words, record, _ in post]
    pre = pair(dict.fromkeys(range(4), "missing"), order="pre")
    to_come = [(f"{words} seed={record.seed}", record) for words, record, _ in pre]
    put_study(tmp_path, "first", jobs)
    put_study(tmp_path, "second", [*jobs, *to_come])
    contrasts = [{"name": order, "at": {"order": order}, "expects": "gain"} for order in ("post", "pre")]
    one = judged(tmp_path, claims_of(tmp_path, *contrasts))
    assert line_of(one, "post", "first").verdict == "holds"
    assert line_of(one, "post", "second").verdict == "undecided"
    assert (one.elsewhere_verdict, one.share) == ("holds", (1, 2))
