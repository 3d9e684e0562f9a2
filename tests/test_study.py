"""A study keeps every planned job, under a name that says what was asked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnn_ablate.record import RecordError
from bnn_ablate.study import Job, add_run, asked, default_name, plan_jobs, read_study, study_path

GRID = ["scaling=none,channel", "grad=ste,approxsign"]


def planned(*overrides: str, run_id: str | None = None) -> Job:
    return Job(overrides=asked(list(overrides)), run_id=run_id)


def jobs(studies: Path, name: str) -> list[Job]:
    return read_study(study_path(studies, name)).jobs


def test_a_name_says_the_swept_axes() -> None:
    assert default_name([*GRID, "model.width=0.25"]).startswith("grad-scaling-")
    assert default_name(["recipe/optimizer=adam,sgd", "+seed=range(3)"]).startswith("recipe_optimizer-seed-")
    assert default_name(["model.channels=[8,16]"]).startswith("study-")  # which no number can be mistaken for


def test_a_name_made_of_many_axes_has_an_end() -> None:
    many = [f"recipe.some_long_setting_{place}=1,2" for place in range(9)]
    name = default_name(many)
    assert len(name) <= 90
    assert name.startswith("recipe_some_long_setting_0-recipe_some_long_setting_1-")
    assert name != default_name([*many, "recipe.epochs=1,2"])


def test_the_same_command_is_the_same_study_wherever_it_runs() -> None:
    name = default_name(GRID)
    for place in (
        "runs=/elsewhere",
        "trainer=gpu",
        "trainer.threads=4",
        "tracking=none",
        "hydra/launcher=x",
        "data.root=y",
    ):
        assert default_name([*GRID, place]) == name


@pytest.mark.parametrize("more", ["seed=0,1,2", "grad.clip=1.3", "recipe.epochs=2", "trainer=smoke"])
def test_another_question_is_another_study(more: str) -> None:
    assert default_name([*GRID, more]) != default_name(GRID)


@given(st.permutations(["scaling=none,channel", "grad=ste", "seed=1", "model.width=0.5"]))
def test_the_order_of_the_overrides_is_no_part_of_the_question(overrides: list[str]) -> None:
    assert default_name(overrides) == default_name(sorted(overrides))


def test_a_smoke_run_is_asked_for_and_other_trainers_are_not() -> None:
    overrides = ["trainer=smoke", "trainer=gpu", "trainer=ddp,smoke", "trainer.devices=2", "grad=ste", "++study=x"]
    assert asked(overrides) == ["trainer=smoke", "trainer=ddp,smoke", "grad=ste"]


def test_the_folder_of_images_is_asked_for_wherever_it_was_chosen() -> None:
    assert asked(["data=image_folder", "data.root=/a"]) == ["data=image_folder", "data.root=/a"]
    assert asked(["data.root=/a", "seed=0"], folder=True) == ["data.root=/a", "seed=0"]
    assert asked(["data=cifar10", "data.root=/a"], folder=False) == ["data=cifar10"]


def test_planned_jobs_stand_in_the_order_of_the_command_before_any_has_run(tmp_path: Path) -> None:
    jobs_given = [planned("scaling=none", "seed=0", run_id="a" * 12), planned("scaling=channel", "seed=0")]
    plan_jobs(tmp_path, "s", jobs_given)
    assert jobs(tmp_path, "s") == [
        Job(overrides=["scaling=none", "seed=0"], run_id="a" * 12),
        Job(overrides=["scaling=channel", "seed=0"], run_id=None),
    ]


def test_a_second_command_adds_its_jobs_and_loses_no_run(tmp_path: Path) -> None:
    plan_jobs(tmp_path, "s", [planned("scaling=none", run_id="a" * 12), planned("scaling=channel", run_id="b" * 12)])
    plan_jobs(tmp_path, "s", [planned("scaling=none", run_id="a" * 12), planned("scaling=xnor", run_id="c" * 12)])
    assert jobs(tmp_path, "s") == [
        Job(overrides=["scaling=none"], run_id="a" * 12),
        Job(overrides=["scaling=channel"], run_id="b" * 12),
        Job(overrides=["scaling=xnor"], run_id="c" * 12),
    ]


def test_a_job_that_has_become_another_run_points_to_the_new_one(tmp_path: Path) -> None:
    plan_jobs(tmp_path, "s", [planned("scaling=none", run_id="a" * 12)])
    plan_jobs(tmp_path, "s", [planned("scaling=none", run_id="b" * 12)])
    assert jobs(tmp_path, "s") == [Job(overrides=["scaling=none"], run_id="b" * 12)]


def test_a_sweep_that_is_asked_again_leaves_its_file_alone(tmp_path: Path) -> None:
    plan_jobs(tmp_path, "s", [planned("scaling=none", run_id="a" * 12)])
    written = study_path(tmp_path, "s").stat().st_mtime_ns
    plan_jobs(tmp_path, "s", [planned("scaling=none", run_id="a" * 12)])
    assert study_path(tmp_path, "s").stat().st_mtime_ns == written


def test_a_job_in_another_order_of_words_is_the_same_job(tmp_path: Path) -> None:
    plan_jobs(tmp_path, "s", [planned("scaling=none", "grad=ste", run_id="a" * 12)])
    plan_jobs(tmp_path, "s", [planned("grad=ste", "scaling=none", run_id="a" * 12)])
    add_run(tmp_path, "s", ["grad=ste", "scaling=none"], "a" * 12)
    assert [job.run_id for job in jobs(tmp_path, "s")] == ["a" * 12]


def test_a_smoke_run_does_not_take_the_place_of_the_real_one(tmp_path: Path) -> None:
    add_run(tmp_path, "s", ["scaling=none"], "a" * 12)
    add_run(tmp_path, "s", ["scaling=none", "trainer=smoke"], "b" * 12)
    assert [job.run_id for job in jobs(tmp_path, "s")] == ["a" * 12, "b" * 12]


def test_a_run_may_join_a_study_that_nobody_planned(tmp_path: Path) -> None:
    add_run(tmp_path / "studies", "s", ["seed=1"], "a" * 12)
    assert jobs(tmp_path / "studies", "s") == [Job(overrides=["seed=1"], run_id="a" * 12)]


@pytest.mark.parametrize(
    "text", ["", "{", '{"schema": 1, "name": "s"}', '{"schema": 1, "name": "s", "jobs": [], "x": 1}']
)
def test_a_broken_study_is_an_error_that_names_the_file_and_is_not_overwritten(text: str, tmp_path: Path) -> None:
    path = study_path(tmp_path, "s")
    path.write_text(text)
    with pytest.raises(RecordError, match=r"s\.json"):
        plan_jobs(tmp_path, "s", [planned("seed=0")])
    assert path.read_text() == text


#: A host whose locks are unknown to the other, and whose process has the same number.
ADDING = """
import fcntl, os, socket, sys
from pathlib import Path
from bnn_ablate import lease
from bnn_ablate.study import add_run
socket.gethostname = lambda: sys.argv[2]
os.getpid = lambda: 7
fcntl.flock = lambda *_: None
lease.SECONDS_BETWEEN_LOOKS = 0.01
sys.stdin.read()
for number in range(15):
    add_run(Path(sys.argv[1]), "s", [f"seed={number}", f"scaling={sys.argv[2]}"], "a" * 12)
"""


def test_two_hosts_without_common_locks_add_to_a_study_and_lose_nothing(tmp_path: Path) -> None:
    hosts = ("node-a", "node-b")
    processes = [
        subprocess.Popen([sys.executable, "-c", ADDING, str(tmp_path), host], stdin=subprocess.PIPE) for host in hosts
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
    assert [process.wait() for process in processes] == [0, 0]
    jobs = read_study(study_path(tmp_path, "s")).jobs
    expected = {(f"scaling={host}", f"seed={number}") for host in hosts for number in range(15)}
    assert {tuple(sorted(job.overrides)) for job in jobs} == expected
