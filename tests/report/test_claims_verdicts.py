"""Verdicts on claims: each one comes out of runs whose answer is plain by hand, and says its scope and its doubts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import sqrt
from pathlib import Path

import pytest
from claims_factories import BASE, claims_of, declaration, judged, line_of, plus, put_cells, scored
from factories import make_packed, put_done, put_status, put_study

from bnn_ablate.record import Record
from bnn_ablate.report.numbers import duration
from bnn_ablate.scaling_errors import FILE, Errors, LayerErrors, ScalingErrors, write_errors
from bnn_ablate.store import Store

NONE, XNOR = "scaling=none", "scaling=xnor"
#: Differences between the two cells, seed by seed, and the verdict on each expectation at a margin of 0.5.
SURELY_NOTHING = (0.1, -0.1, 0.0, 0.0)  # 0.00 +- 0.13
SURELY_MORE = (3.1, 2.9, 3.0, 3.0)  # 3.00 +- 0.13
SURELY_LESS = (-3.1, -2.9, -3.0, -3.0)
WHO_KNOWS = (-1.0, 2.0, 0.0, 1.0)  # 0.50 +- 2.05


@pytest.mark.parametrize(
    ("differences", "verdicts"),
    [
        (SURELY_NOTHING, {"equal": "holds", "no_gain": "holds", "at_least": "holds", "gain": "contradicted"}),
        (SURELY_MORE, {"equal": "contradicted", "no_gain": "contradicted", "at_least": "holds", "gain": "holds"}),
        (
            SURELY_LESS,
            {"equal": "contradicted", "no_gain": "holds", "at_least": "contradicted", "gain": "contradicted"},
        ),
        (WHO_KNOWS, dict.fromkeys(("equal", "no_gain", "at_least", "gain"), "undecided")),
    ],
)
def test_runs_whose_answer_is_plain_give_the_plain_verdict(differences, verdicts, tmp_path):
    put_cells(tmp_path, {NONE: BASE, XNOR: plus(*differences)})
    for expects, verdict in verdicts.items():
        line = line_of(judged(tmp_path, claims_of(tmp_path, {"expects": expects})))
        assert line.verdict == verdict, expects
        assert line.why


def test_the_estimate_of_two_cells_is_that_of_the_paired_differences(tmp_path):
    put_cells(tmp_path, {NONE: BASE, XNOR: plus(*WHO_KNOWS)})
    estimate = line_of(judged(tmp_path, claims_of(tmp_path, {}))).estimate
    assert estimate is not None
    # differences -1, 2, 0, 1: mean 0.5, variance 5 / 3 of three degrees of freedom, of which four seeds leave a quarter
    assert estimate.value == pytest.approx(0.5)
    assert estimate.se == pytest.approx(sqrt(5 / 3 / 4))
    assert (estimate.df, estimate.n) == (3, 4)


def test_an_interaction_is_the_contrast_at_the_second_setting_less_that_at_the_first(tmp_path):
    cells = {
        f"{NONE} order=post": BASE,
        f"{XNOR} order=post": plus(1.0, 1.1, 0.9, 1.0),
        f"{NONE} order=pre": plus(0.1, 0.0, 0.0, -0.1),
        f"{XNOR} order=pre": plus(4.1, 4.0, 4.0, 3.9),
    }
    put_cells(tmp_path, cells)
    at = {"compared_at": [{"order": "post"}, {"order": "pre"}], "expects": "gain"}
    line = line_of(judged(tmp_path, claims_of(tmp_path, at)))
    assert line.estimate is not None
    assert line.estimate.value == pytest.approx(3.0)
    assert line.verdict == "holds"


def test_contrasts_of_one_claim_share_the_error_of_one(tmp_path):
    # 1.00 with a standard error of 0.2 on 9 degrees of freedom: 95 % 0.45, of three contrasts 98.3 % 0.59
    noise = (0.49, -0.49, 0.0, 0.0)
    cells = {
        f"{NONE} order=post": BASE,
        f"{XNOR} order=post": plus(*(0.74 + one for one in noise)),
        f"{NONE} order=pre": plus(0.0, 0.0, 0.49, -0.49),
        f"{XNOR} order=pre": plus(0.0, 0.0, -0.49, 0.49),
    }
    put_cells(tmp_path, cells)
    post = {"at": {"order": "post"}, "expects": "gain"}
    alone = line_of(judged(tmp_path, claims_of(tmp_path, post)))
    others = [{"name": f"pre {expects}", "at": {"order": "pre"}, "expects": expects} for expects in ("equal", "gain")]
    of_three = line_of(judged(tmp_path, claims_of(tmp_path, post, *others)))
    assert (alone.family, of_three.family) == (1, 3)
    assert (alone.verdict, of_three.verdict) == ("holds", "undecided")
    assert alone.p_holm is not None
    assert of_three.p_holm == pytest.approx(3 * alone.p_holm)


def test_one_run_has_no_verdict_and_is_told_what_an_interval_costs(tmp_path):
    put_cells(tmp_path, {NONE: BASE[:1], XNOR: plus(3.0)}, seconds=120.0)
    line = line_of(judged(tmp_path, claims_of(tmp_path, {})))
    assert line.verdict == "no verdict"
    assert line.estimate is not None
    assert line.next == "seed=0,1,2 costs about 8.0 min more"  # two seeds of two cells of two minutes


@pytest.mark.parametrize("data", ["digits", "synthetic", {"name": "cifar10", "limit_test": 100}])
def test_a_smoke_test_shows_its_estimate_and_no_verdict(data, tmp_path):
    put_cells(tmp_path, {NONE: BASE, XNOR: plus(*SURELY_MORE)}, data=data)
    line = line_of(judged(tmp_path, claims_of(tmp_path, {})))
    assert (line.verdict, line.why) == ("no verdict", "smoke test: these images prove nothing")
    assert line.estimate is not None


def test_a_contrast_that_is_not_matched_shows_its_estimate_and_no_verdict(tmp_path):
    put_cells(tmp_path, {NONE: BASE, XNOR: plus(*SURELY_MORE)})
    line = line_of(judged(tmp_path, claims_of(tmp_path, {"no_verdict": "it is the larger network"})))
    assert (line.verdict, line.why) == ("no verdict", "it is the larger network")
    assert line.estimate is not None


def test_undecided_says_how_many_more_seeds_would_decide_and_what_they_cost(tmp_path):
    put_cells(tmp_path, {NONE: BASE, XNOR: plus(0.5, -0.5, 0.35, -0.35)}, seconds=60.0)
    line = line_of(judged(tmp_path, claims_of(tmp_path, {})))
    assert line.verdict == "undecided"
    low, high = (int(word) for word in line.next.split(" more seeds")[0].split(" to "))
    assert 0 < low < high
    assert f"(about {duration(2 * 60 * low)} to {duration(2 * 60 * high)})" in line.next


def test_a_verdict_tells_its_scope_and_whatever_else_the_study_varies(tmp_path):
    cells = {f"{scaling} order={order}": BASE for scaling in (NONE, XNOR) for order in ("post", "pre")}
    put_cells(tmp_path, cells)
    line = line_of(judged(tmp_path, claims_of(tmp_path, {})))
    assert line.scope == "CIFAR-10, ResNetE18 of width 0.25, 6 epochs of cifar_2018, order=post"
    assert line.at_scope is None


def test_other_axes_stand_at_the_declared_baseline(tmp_path):
    cells = {f"{scaling} order={order}": BASE for scaling in (NONE, XNOR) for order in ("post", "pre")}
    put_cells(tmp_path, cells, declared=declaration(range(4), order="pre"))
    assert line_of(judged(tmp_path, claims_of(tmp_path, {}))).scope.endswith("order=pre")


def test_runs_of_full_size_speak_about_the_paper_and_others_do_not(tmp_path):
    put_cells(tmp_path, {NONE: BASE, XNOR: plus(*SURELY_NOTHING)}, model={"width": 1.0})
    full = judged(tmp_path, claims_of(tmp_path, {}))
    assert line_of(full).at_scope == "full"
    assert (full.paper_verdict, full.paper, full.elsewhere) == ("holds", "full size: holds 1", "not run")

    narrow_root = tmp_path / "narrow"
    put_cells(narrow_root, {NONE: BASE, XNOR: plus(*SURELY_NOTHING)})
    narrow = judged(narrow_root, claims_of(tmp_path, {}))
    assert (narrow.paper_verdict, narrow.paper) == ("not run", "not run")
    assert (narrow.elsewhere_verdict, narrow.elsewhere) == ("holds", "grid: holds 1")
    assert line_of(narrow, study=None).commands == ("python -m bnn_ablate +sweeps=scaling_cifar10",)


def test_full_size_cells_are_found_beside_the_baseline(tmp_path):
    cells = {f"{one} model.width={width}": BASE for width in (0.25, 1.0) for one in (NONE, XNOR)}
    jobs = []
    for overrides, percents in cells.items():
        scaling, width = (text.split("=")[1] for text in overrides.split())
        for seed, percent in enumerate(percents):
            record = scored(percent, seed=seed, scaling=scaling, model={"width": float(width)})
            jobs.append((f"{overrides} seed={seed}", put_done(tmp_path, record)))
    put_study(tmp_path, "grid", jobs)
    lines = [line for line in judged(tmp_path, claims_of(tmp_path, {})).lines if line.study]
    assert [line.at_scope for line in lines] == [None, "full"]


def test_a_claim_holds_only_where_all_its_contrasts_were_run(tmp_path):
    put_cells(tmp_path, {NONE: BASE, XNOR: plus(*SURELY_NOTHING)}, model={"width": 1.0})
    other = {"name": "channel", "after": {"scaling": "channel"}}
    one = judged(tmp_path, claims_of(tmp_path, {}, other))
    assert one.paper_verdict == "undecided"
    assert one.paper == "full size: holds 1 (1 of 2 contrasts); the other contrasts have no verdict yet"


def test_what_no_study_has_is_not_run_and_comes_with_its_commands(tmp_path):
    (tmp_path / "studies").mkdir()
    one = judged(tmp_path, claims_of(tmp_path, {"sweeps": {"full": ["a", "b"], "smaller": ["c"]}}))
    (line,) = one.lines
    assert (line.verdict, line.scope, line.estimate) == ("not run", "full size", None)
    assert line.commands == (
        "python -m bnn_ablate +sweeps=a && python -m bnn_ablate +sweeps=b study=a",
        "python -m bnn_ablate +sweeps=c",
    )
    assert one.next == "python -m bnn_ablate +sweeps=c"


def test_without_a_record_there_is_no_verdict_any_more(tmp_path):
    put_cells(tmp_path, {NONE: BASE, XNOR: plus(*SURELY_MORE)})
    claims = claims_of(tmp_path, {})
    assert line_of(judged(tmp_path, claims)).verdict == "contradicted"
    records = [scored(plus(*SURELY_MORE)[seed], seed=seed, scaling="xnor") for seed in range(4)]
    for record in records[1:]:
        (Store(tmp_path).run(record.run_id).path / "record.json").unlink()
    assert line_of(judged(tmp_path, claims)).verdict == "no verdict"
    (Store(tmp_path).run(records[0].run_id).path / "record.json").unlink()
    line = line_of(judged(tmp_path, claims))
    assert (line.verdict, line.estimate) == ("not run", None)
    assert "scaling=xnor: 4 broken" in line.why


def test_a_failed_cell_is_named_with_its_error_and_the_others_are_judged(tmp_path):
    jobs = [(f"{NONE} seed={seed}", put_done(tmp_path, scored(p, seed=seed))) for seed, p in enumerate(BASE)]
    for seed in range(4):
        failed = put_status(tmp_path, scored(80, seed=seed, scaling="xnor"), "failed", "OSError: no")
        jobs.append((f"{XNOR} seed={seed}", failed))
    for seed, percent in enumerate(plus(*SURELY_NOTHING)):
        jobs.append((f"scaling=channel seed={seed}", put_done(tmp_path, scored(percent, seed=seed, scaling="channel"))))
    put_study(tmp_path, "grid", jobs)
    one = judged(tmp_path, claims_of(tmp_path, {}, {"name": "channel", "after": {"scaling": "channel"}}))
    assert line_of(one).verdict == "not run"
    assert line_of(one).why == "no result of scaling=xnor: 4 failed: OSError: no"
    # what failed was asked too: whether it is lost must not decide how sure the others have to be
    assert (line_of(one, "channel").verdict, line_of(one, "channel").family) == ("holds", 2)


def test_a_lost_run_and_uneven_seeds_are_told_beside_the_verdict(tmp_path):
    jobs = [(f"{NONE} seed={seed}", put_done(tmp_path, scored(p, seed=seed))) for seed, p in enumerate(BASE)]
    for seed, percent in enumerate(plus(*SURELY_MORE)[:3]):
        jobs.append((f"{XNOR} seed={seed}", put_done(tmp_path, scored(percent, seed=seed, scaling="xnor"))))
    diverged = put_status(tmp_path, scored(80, seed=3, scaling="xnor"), "diverged", "NaN")
    put_study(tmp_path, "grid", [*jobs, (f"{XNOR} seed=3", diverged)])
    line = line_of(judged(tmp_path, claims_of(tmp_path, {})))
    assert line.marks[1:] == ("its cells have 3 to 4 runs", "1 run diverged, in no mean")


def test_seeds_added_later_are_marked_beside_what_the_declared_ones_say(tmp_path):
    put_cells(tmp_path, {NONE: BASE, XNOR: plus(0.4, 0.6, 3.1, 3.0)}, declared=declaration([0, 1]))
    line = line_of(judged(tmp_path, claims_of(tmp_path, {})))
    assert line.marks == ("seeds 2, 3 added after those that were declared, which alone say: undecided",)

    again = tmp_path / "again"
    put_cells(again, {NONE: BASE, XNOR: plus(*SURELY_MORE)}, declared=declaration(range(4)))
    assert line_of(judged(again, claims_of(tmp_path, {}))).marks == ()


def test_a_study_that_declared_nothing_or_too_late_is_marked(tmp_path):
    put_cells(tmp_path, {NONE: BASE, XNOR: plus(*SURELY_MORE)})
    assert line_of(judged(tmp_path, claims_of(tmp_path, {}))).marks == ("nothing was declared before the study",)
    late = tmp_path / "late"
    put_cells(late, {NONE: BASE, XNOR: plus(*SURELY_MORE)}, declared=declaration(range(4), done=3))
    assert line_of(judged(late, claims_of(tmp_path, {}))).marks == ("declared when 3 runs had been done",)


def test_cells_without_a_shared_seed_cannot_be_compared(tmp_path):
    jobs = [(f"{NONE} seed={seed}", put_done(tmp_path, scored(80, seed=seed))) for seed in (0, 1)]
    jobs += [(f"{XNOR} seed={seed}", put_done(tmp_path, scored(83, seed=seed, scaling="xnor"))) for seed in (2, 3)]
    put_study(tmp_path, "grid", jobs)
    line = line_of(judged(tmp_path, claims_of(tmp_path, {})))
    assert (line.verdict, line.next) == ("no verdict", "give its cells the same seeds")


def put_packed(
    root: Path, flipped: Sequence[int], *, despite: int = 0, data: str = "cifar10", name: str = "grid"
) -> None:
    """A run a number, with so many of a million sign bits flipped."""
    jobs = []
    for seed, bits in enumerate(flipped):
        changes = {"flipped_sign_bits": bits, "disagreeing_predictions": 1, "disagreeing_with_equal_signs": despite}
        record = replace(scored(80, seed=seed, data=data), packed=make_packed(**changes))
        jobs.append((f"{NONE} seed={seed}", put_done(root, record)))
    put_study(root, name, jobs)


@pytest.mark.parametrize(
    ("flipped", "despite", "verdict"),
    [([100, 50], 0, "holds"), ([101, 0, 0, 0], 0, "contradicted"), ([0, 0], 1, "contradicted")],
)
def test_the_worst_run_decides_the_packed_claim(flipped, despite, verdict, tmp_path: Path):
    put_packed(tmp_path, flipped, despite=despite)  # of a million sign bits each: 1e-4 is 100
    one = judged(tmp_path, claims_of(tmp_path, judged_by="packed", needs="runs"))
    runs = len(flipped)
    assert [line.verdict for line in one.lines] == [verdict, verdict]  # of all runs, and of the study
    assert one.lines[0].why.startswith(f"{runs} runs: {sum(flipped)} of {runs}000000 sign bits differ")
    assert f"{runs} predictions apart, {runs * despite} of them" in one.lines[0].why


def test_packed_smoke_tests_show_their_counts_without_a_verdict_and_are_in_no_other_count(tmp_path):
    claims = claims_of(tmp_path, judged_by="packed", needs="runs")
    put_packed(tmp_path, [0, 5], data="digits", name="quick")
    alone = judged(tmp_path, claims)
    assert [line.verdict for line in alone.lines] == ["no verdict", "no verdict"]
    assert alone.lines[0].why.startswith("smoke test: these images prove nothing; 2 runs: 5 of 2000000 sign bits")
    put_packed(tmp_path, [3])
    both = judged(tmp_path, claims)
    assert (both.lines[0].verdict, both.elsewhere_verdict) == ("holds", "holds")
    assert both.lines[0].why.startswith("1 run: 3 of 1000000 sign bits")


def test_a_claim_that_nothing_can_judge_says_what_it_needs(tmp_path):
    (tmp_path / "studies").mkdir()
    one = judged(tmp_path, claims_of(tmp_path, judged_by="nothing", needs="no axis yet"))
    assert (one.elsewhere_verdict, one.next) == ("not run", "no axis yet")


# --- what BatchNorm leaves of scaling -----------------------------------------------------------------------------


def put_errors(root: Path, record: Record, *, alpha: float = 0.6, after: float = 0.6, digest: str = "d" * 64) -> Path:
    """One layer: without factors 2.0 before BatchNorm and 0.6 behind it; with them ``alpha`` and ``after``."""
    before_norm = Errors(binary=2.0, alpha=alpha, alpha_k=alpha)
    layer = LayerErrors(name="conv", before_norm=before_norm, after_norm=Errors(binary=0.6, alpha=0.6, alpha_k=after))
    path = Store(root).run(record.run_id).path / FILE
    write_errors(path, ScalingErrors(schema=1, run_id=record.run_id, weight_digest=digest, images=8, layers=[layer]))
    return path


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [({}, "holds"), ({"after": 0.64}, "holds"), ({"after": 0.54}, "contradicted"), ({"alpha": 2.1}, "contradicted")],
)
def test_errors_of_scaling_are_judged_with_k_as_they_lie_in_the_folders_of_runs(changes, verdict, tmp_path):
    record = put_done(tmp_path, scored(80, seed=0))
    put_study(tmp_path, "grid", [("seed=0", record)])
    put_errors(tmp_path, record, **changes)
    one = judged(tmp_path, claims_of(tmp_path, judged_by="scaling_error", needs="a file"))
    assert line_of(one, "alpha and K").verdict == verdict
    assert line_of(one, "alpha and K").why.startswith("1 layer: before BatchNorm")


def test_errors_of_smoke_tests_give_no_verdict_and_do_not_spoil_one(tmp_path):
    digits, real = scored(80, seed=0, data="digits"), scored(80, seed=1)
    for name, record in (("quick", digits), ("grid", real)):
        put_study(tmp_path, name, [("seed=0", put_done(tmp_path, record))])
        put_errors(tmp_path, record)
    one = judged(tmp_path, claims_of(tmp_path, judged_by="scaling_error", needs="a file"))
    assert line_of(one, "alpha", study="quick").verdict == "no verdict"
    assert line_of(one, "alpha", study="grid").verdict == "holds"
    assert line_of(one, "alpha", study=None).why.startswith("1 layer")
    assert (one.paper_verdict, one.elsewhere_verdict) == (None, "holds")


def test_a_broken_file_of_errors_and_one_of_other_weights_are_told(tmp_path):
    records = [put_done(tmp_path, scored(80, seed=seed)) for seed in (0, 1)]
    put_study(tmp_path, "grid", [(f"seed={seed}", record) for seed, record in enumerate(records)])
    put_errors(tmp_path, records[0]).write_text("{")
    put_errors(tmp_path, records[1], digest="e" * 64)
    one = judged(tmp_path, claims_of(tmp_path, judged_by="scaling_error", needs="a file"))
    line = line_of(one, "errors")
    assert line.verdict == "no verdict"
    assert f"{records[0].run_id}/{FILE}: " in line.why
    assert f"{records[1].run_id}/{FILE} is of other weights" in line.why
    assert str(tmp_path) not in line.why
