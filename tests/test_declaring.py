"""What a sweep declares before its first run: checked against its jobs, and kept with its plan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import CONF, TINY, composed
from interruptions import command_line
from plan_factories import make_job, put_finished

from bnn_ablate.analysis import UNDECLARED_MARGIN, Analysis, Declaration, same_option
from bnn_ablate.settings import Settings, SettingsError, read_settings
from bnn_ablate.store import Store
from bnn_ablate.study import Job, plan_jobs, read_study, study_path
from bnn_ablate.sweep.declaring import check_declared, declaration_of
from bnn_ablate.sweep.jobs import RefusedJob, SweepJob, SweepJobs

MakeSettings = Callable[..., Settings]


def declared(margin: float = 0.5, *, seeds: tuple[int, ...] = (0, 1), done: int = 0, **baseline: str) -> Declaration:
    return Declaration(margin=margin, baseline=baseline, seeds=list(seeds), time="2026-01-01T00:00:00+00:00", done=done)


def declarations(studies: Path) -> list[Declaration]:
    return read_study(study_path(studies, "s")).declared


# --- which declaration counts ---


def test_the_first_declaration_is_kept_with_the_plan(tmp_path: Path) -> None:
    plan_jobs(tmp_path, "s", [], declared(scaling="none"))
    assert declarations(tmp_path) == [declared(scaling="none")]


def test_before_any_result_a_declaration_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    plan_jobs(tmp_path, "s", [], declared(1.0))
    plan_jobs(tmp_path, "s", [], declared(2.0))
    assert declarations(tmp_path) == [declared(2.0)]


def test_after_a_result_a_declaration_stands_behind_the_first(tmp_path: Path) -> None:
    plan_jobs(tmp_path, "s", [], declared(1.0))
    plan_jobs(tmp_path, "s", [], declared(2.0, done=1))
    plan_jobs(tmp_path, "s", [], declared(1.0, seeds=(0, 1, 2), done=2))
    assert declarations(tmp_path) == [declared(1.0), declared(2.0, done=1), declared(1.0, seeds=(0, 1, 2), done=2)]


def test_the_same_declaration_is_kept_once_with_its_first_time(tmp_path: Path) -> None:
    plan_jobs(tmp_path, "s", [], declared(1.0))
    plan_jobs(tmp_path, "s", [], declared(1.0, done=7))
    assert declarations(tmp_path) == [declared(1.0)]


def test_a_digest_is_of_margin_baseline_and_seeds_and_of_nothing_else() -> None:
    assert declared(scaling="none").digest == declared(scaling="none", done=3).digest
    others = (declared(0.6, scaling="none"), declared(scaling="xnor"), declared(seeds=(0,), scaling="none"), declared())
    assert len({declared(scaling="none").digest, *(other.digest for other in others)}) == 5


# --- what a sweep declares ---


def sweep_of(make_settings: MakeSettings, *cells: str, seeds: tuple[int, ...] = (0, 1), always: str = "") -> SweepJobs:
    """The jobs of these cells, each with every seed."""
    jobs = []
    for words in cells:
        settings = make_settings(*TINY, *words.split(), *always.split())
        jobs += [make_job(settings, words, seed=seed) for seed in seeds]
    return SweepJobs(tuple(jobs), (), 0)


def plan(root: Path, jobs: SweepJobs) -> None:
    """Write the study down as a sweep does."""
    planned = [Job(overrides=list(job.overrides), run_id=job.run_id) for job in jobs.jobs]
    plan_jobs(Store(root).studies, "s", planned, declaration_of(Store(root), "s", jobs))


def finish(root: Path, job: SweepJob) -> None:
    put_finished(root, job, training=1.0, whole=1)


def test_a_sweep_declares_its_margin_its_baseline_and_its_seeds(make_settings: MakeSettings, tmp_path: Path) -> None:
    always = "analysis.margin=0.3 +analysis.baseline.scaling=channel"
    jobs = sweep_of(make_settings, "scaling=none", "scaling=channel", seeds=(1, 4, 0), always=always)
    made = declaration_of(Store(tmp_path), "s", jobs)
    assert made is not None
    assert (made.margin, made.baseline, made.seeds, made.done) == (0.3, {"scaling": "channel"}, [0, 1, 4], 0)


def test_results_of_before_count_also_where_other_seeds_are_asked_for(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    first = sweep_of(make_settings, "scaling=none", "scaling=channel")
    plan(tmp_path, first)
    finish(tmp_path, first.jobs[0])
    plan(tmp_path, sweep_of(make_settings, "scaling=none", "scaling=channel", seeds=(2, 3)))
    assert [(one.seeds, one.done) for one in declarations(Store(tmp_path).studies)] == [([0, 1], 0), ([2, 3], 1)]


def test_where_every_combination_is_refused_nothing_is_declared(tmp_path: Path) -> None:
    refused = SweepJobs((), (RefusedJob(("scaling=none",), "scaling=none", "it makes no sense"),), 0)
    assert declaration_of(Store(tmp_path), "s", refused) is None
    check_declared(Store(tmp_path), "s", refused)


# --- baselines that no effect could start from ---


@pytest.mark.parametrize(
    ("baseline", "sentence"),
    [
        ("order=post", "is of an axis that no job varies: the jobs vary scaling, grad.clip"),
        ("scalling=none", "is of an axis that no job varies: the jobs vary scaling, grad.clip"),
        ("scaling=xnor", "is an option that no job has: choose one of none, channel"),
        ("grad.clip=1.5", "is an option that no job has: choose one of 1.0, 1.3"),
    ],
)
def test_a_baseline_that_no_job_has_is_refused(
    baseline: str, sentence: str, make_settings: MakeSettings, tmp_path: Path
) -> None:
    jobs = sweep_of(
        make_settings, "scaling=none", "scaling=channel", "grad.clip=1.3", always=f"+analysis.baseline.{baseline}"
    )
    with pytest.raises(SettingsError) as refusal:
        check_declared(Store(tmp_path), "s", jobs)
    assert str(refusal.value) == f"analysis.baseline.{baseline} {sentence}"


@pytest.mark.parametrize("baseline", ["scaling=none", "scaling=channel", "grad.clip=1", "grad.clip=1.30"])
def test_a_baseline_may_be_what_a_job_has_without_naming_it(
    baseline: str, make_settings: MakeSettings, tmp_path: Path
) -> None:
    """Of three jobs one names scaling, one grad.clip; the others have what conf/ or a file says."""
    jobs = sweep_of(
        make_settings, "init=glorot", "scaling=channel", "grad.clip=1.3", always=f"+analysis.baseline.{baseline}"
    )
    check_declared(Store(tmp_path), "s", jobs)


def test_seeds_are_no_axis(make_settings: MakeSettings, tmp_path: Path) -> None:
    jobs = sweep_of(make_settings, "scaling=none", always="+analysis.baseline.seed=0")
    with pytest.raises(SettingsError, match="no job varies: the jobs vary nothing but seeds"):
        check_declared(Store(tmp_path), "s", jobs)


def test_one_cell_of_a_study_can_be_given_more_seeds(make_settings: MakeSettings, tmp_path: Path) -> None:
    always = "+analysis.baseline.scaling=none"
    plan(tmp_path, sweep_of(make_settings, "scaling=none", "scaling=channel", always=always))
    check_declared(Store(tmp_path), "s", sweep_of(make_settings, "scaling=channel", seeds=(2,), always=always))
    with pytest.raises(SettingsError, match="scaling"):  # which in a study of its own is no baseline
        check_declared(Store(tmp_path), "t", sweep_of(make_settings, "scaling=channel", seeds=(2,), always=always))


@pytest.mark.parametrize("launcher", ["plan", "local"])
def test_a_wrong_baseline_is_refused_in_a_sentence_before_anything_is_written(
    launcher: str, forked: Callable[..., int], tmp_path: Path
) -> None:
    output, runs = tmp_path / "output.txt", tmp_path / "runs"
    words = ["-m", f"hydra/launcher={launcher}", *TINY, f"runs={runs}", "scaling=none,channel"]
    assert forked(command_line, [*words, "+analysis.baseline.scaling=xnor"], str(output)) == 1
    assert output.read_text().strip().splitlines()[-1] == (
        "error: analysis.baseline.scaling=xnor is an option that no job has: choose one of none, channel"
    )
    assert not runs.exists()


def test_a_sweep_declares_one_thing(forked: Callable[..., int], tmp_path: Path) -> None:
    output, runs = tmp_path / "output.txt", tmp_path / "runs"
    words = ["-m", "hydra/launcher=plan", *TINY, f"runs={runs}", "scaling=none,channel", "analysis.margin=0.5,1.0"]
    assert forked(command_line, words, str(output)) == 1
    assert output.read_text().strip() == "error: analysis. is asked of the whole sweep: give one value"
    assert not runs.exists()


# --- how options are written ---


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"scaling": "none"}, {"scaling": "none"}),
        ({"recipe": {"epochs": 10}}, {"recipe.epochs": "10"}),
        ({"recipe/optimizer": "sgd"}, {"recipe.optimizer": "sgd"}),
        ({"grad.clip": 1.3, "recipe.normalize": True}, {"grad.clip": "1.3", "recipe.normalize": "true"}),
    ],
)
def test_options_are_kept_as_text_by_axis(given: dict[str, Any], kept: dict[str, str]) -> None:
    assert Analysis(margin=0.5, baseline=given).baseline == kept
    assert Analysis(margin=0.5, baseline=kept).baseline == kept


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("0.30", "0.3", True),
        ("1", "1.0", True),
        ("[3,4]", "[3, 4]", True),
        ("none", "none", True),
        ("none", "null", False),
        ("1", "true", False),
        ("0.3", "0.31", False),
    ],
)
def test_options_are_the_same_where_their_values_are(one: str, other: str, same: bool) -> None:
    assert same_option(one, other) is same
    assert same_option(other, one) is same


def test_a_study_of_before_declarations_is_asked_what_a_new_one_is_asked_by_default() -> None:
    assert yaml.safe_load((CONF / "config.yaml").read_text())["analysis"]["margin"] == UNDECLARED_MARGIN


@pytest.mark.parametrize("margin", ["0", "-1", "wide"])
def test_a_margin_is_a_positive_number(margin: str) -> None:
    from bnn_ablate.job import plain_of

    with pytest.raises(SettingsError, match=f"analysis.margin={margin}"):
        read_settings(plain_of(composed(*TINY, f"analysis.margin={margin}")))
