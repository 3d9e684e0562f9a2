"""The plan of a sweep: states, times, bytes and sums, for people and for scripts; and that it leaves no trace."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import TINY
from interruptions import command_line
from plan_factories import COST, IMPOSSIBLE, make_job, make_sweep, put_finished, put_state

from bnn_ablate.job import session
from bnn_ablate.lease import Heartbeat, boot
from bnn_ablate.settings import SettingsError
from bnn_ablate.store import Store
from bnn_ablate.sweep import calibration, planning
from bnn_ablate.sweep.estimate import Estimate
from bnn_ablate.sweep.plan_text import to_text
from bnn_ablate.sweep.planning import make_plan, makespan, print_plan
from bnn_ablate.sweep.standing import Standing, standing_of

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _restored_session():
    before = session.failures
    yield
    session.failures = before


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder below, with its size and when it was changed."""
    found = {path: path.stat() for path in folder.rglob("*")}
    return {str(path.relative_to(folder)): (stat.st_size, stat.st_mtime_ns) for path, stat in found.items()}


# --- states ---


def heartbeat_of(folder, pid: int, *, age: float = 0.0, host: str | None = None) -> None:
    """A sign of life of that process, ``age`` seconds ago."""
    beat = Heartbeat(
        host=socket.gethostname() if host is None else host, boot=boot(), pid=pid, job_id=None, token="t" * 8
    )
    path = folder.path / "heartbeat.json"
    path.write_text(json.dumps(vars(beat)))
    then = time.time() - age
    os.utime(path, (then, then))


@pytest.mark.parametrize(
    ("written", "epochs", "expected"),
    [
        ("running", 2, ("stopped", 2)),  # it was killed
        ("stopped", 1, ("stopped", 1)),
        ("stopped", 0, ("stopped", 0)),
        ("trained", 3, ("trained", 3)),
        ("failed", 2, ("failed", 2)),
        ("diverged", 1, ("diverged", 1)),
        ("done", 3, ("stopped", 3)),  # and its record was taken away
    ],
)
def test_a_run_without_a_sign_of_life_is_in_the_state_that_it_wrote(make_settings, tmp_path, written, epochs, expected):
    job = make_job(make_settings(*TINY))
    put_state(tmp_path, job, written, epochs=epochs)
    standing = standing_of(Store(tmp_path).run(job.run_id))
    assert (standing.state, standing.epochs) == expected


def test_a_run_is_running_while_its_process_gives_signs_of_life(make_settings, tmp_path):
    job = make_job(make_settings(*TINY))
    folder = put_state(tmp_path, job, "running", epochs=1)
    heartbeat_of(folder, os.getpid())
    assert standing_of(folder) == Standing("running", 1, f"process {os.getpid()} on {socket.gethostname()}")
    heartbeat_of(folder, os.getpid(), age=3600)
    assert standing_of(folder).state == "stopped"
    gone = subprocess.Popen(["true"])
    gone.wait()
    heartbeat_of(folder, gone.pid)
    assert standing_of(folder).state == "stopped"
    heartbeat_of(folder, gone.pid, host="elsewhere")
    assert standing_of(folder).state == "running"


def test_a_run_with_a_record_is_done_one_without_a_folder_new_and_one_that_cannot_be_read_broken(
    make_settings, tmp_path
):
    jobs = [make_job(make_settings(*TINY), seed=seed) for seed in (0, 1, 2)]
    put_finished(tmp_path, jobs[0], training=1.0, whole=1)
    put_finished(tmp_path, jobs[2], training=1.0, whole=1)
    (tmp_path / jobs[2].run_id / "record.json").write_text("{}")
    found = [standing_of(Store(tmp_path).run(job.run_id)) for job in jobs]
    assert [one.state for one in found] == ["done", "new", "broken"]
    assert str(tmp_path / jobs[2].run_id / "record.json") in found[2].remark


# --- plans ---


def test_only_what_is_left_for_this_sweep_takes_time_and_room(make_settings, tmp_path):
    settings = make_settings(*TINY)
    jobs = [make_job(settings, seed=seed) for seed in range(6)]
    put_finished(tmp_path, jobs[0], training=30.0, whole=30)
    put_state(tmp_path, jobs[1], "stopped", epochs=1)
    put_state(tmp_path, jobs[2], "diverged", epochs=1, error="the loss became nan")
    heartbeat_of(put_state(tmp_path, jobs[3], "running", epochs=1), os.getpid())
    put_state(tmp_path, jobs[4], "failed", epochs=2, error="OSError: no")
    plan = make_plan(make_sweep(tmp_path, *jobs), n_jobs=2)
    left = [None if run.left is None else round(run.left.seconds, 3) for run in plan.runs]
    assert left == [None, 20.0, None, None, 10.0, 30.0]
    assert [run.bytes_left is None for run in plan.runs] == [True, False, True, True, False, False]
    assert plan.seconds_left == pytest.approx(60.0)
    assert plan.wall_seconds == pytest.approx(40.0)  # 20 on one, 10 and then 30 on the other
    assert plan.runs[5].bytes_left > plan.runs[1].bytes_left  # which has a checkpoint already


def test_float_networks_are_runs_of_the_plan_once_each_and_before_the_runs_that_need_them(make_settings, tmp_path):
    binary = make_settings(*TINY, "pretrain=relu")
    channel = make_settings(*TINY, "pretrain=relu", "scaling=channel")
    jobs = [make_job(binary, "scaling=none"), make_job(channel, "scaling=channel")]
    assert jobs[0].needs == jobs[1].needs
    put_finished(tmp_path, make_job(binary, seed=7), training=9.0, whole=9)  # so that no step needs to be timed
    put_finished(tmp_path, make_job(channel, seed=7), training=9.0, whole=9)
    plan = make_plan(make_sweep(tmp_path, *jobs), n_jobs=1)
    assert [run.job.run_id for run in plan.runs] == [jobs[0].needs, jobs[0].run_id, jobs[1].run_id]
    for job in jobs:
        put_finished(tmp_path, job, training=9.0, whole=9)
    assert len(make_plan(make_sweep(tmp_path, *jobs), n_jobs=1).runs) == 2  # nobody needs it any more


def test_a_run_whose_float_network_diverged_has_no_time_but_a_reason(make_settings, tmp_path):
    settings = make_settings(*TINY, "pretrain=relu")
    job = make_job(settings)
    (first,) = planning.float_networks([job])
    put_state(tmp_path, first, "diverged", error="the loss became nan")
    plan = make_plan(make_sweep(tmp_path, job), n_jobs=1)
    assert plan.runs[1].left is None
    assert plan.runs[1].remark == f"starts from run {first.run_id}, which is diverged"
    assert plan.unknown == [plan.runs[1]]


def test_without_records_a_step_is_timed_and_with_them_none_is(make_settings, tmp_path, monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(calibration, "step_seconds", lambda settings, images: calls.append(images) or 0.1)
    settings = make_settings(*TINY)
    plan = make_plan(make_sweep(tmp_path, make_job(settings), make_job(settings, seed=1)), n_jobs=1)
    assert [run.left.source for run in plan.runs] == ["calibrated", "calibrated"]
    assert calls == [16]
    assert "2 of the runs" in capsys.readouterr().err
    put_finished(tmp_path, make_job(settings, seed=2), training=30.0, whole=30)
    plan = make_plan(make_sweep(tmp_path, make_job(settings)), n_jobs=1)
    assert plan.runs[0].left == Estimate(pytest.approx(30.0), "same cell")
    assert calls == [16]


def test_on_a_machine_without_a_gpu_nothing_is_said_of_the_time_on_one(make_settings, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    settings = make_settings(*TINY, "trainer=gpu", "trainer.binary_forward=float")
    put_finished(tmp_path, make_job(make_settings(*TINY), seed=2), training=30.0, whole=30)
    plan = make_plan(make_sweep(tmp_path, make_job(settings)), n_jobs="auto")
    (run,) = plan.runs
    assert run.left is None
    assert run.remark.startswith("trains on a GPU and this machine has none")
    assert run.bytes_left == 4 * 3 * COST.params + COST.size_bits // 8 + 250_000 + 3 * 3_000
    assert plan.at_a_time is plan.wall_seconds is None
    text = to_text(plan)
    assert "?" in text
    assert "time left" not in text


def test_a_network_that_cannot_be_built_is_told_and_the_others_are_planned(make_settings, tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "step_seconds", lambda settings, images: 0.1)
    jobs = [make_job(make_settings(*TINY)), make_job(make_settings(*IMPOSSIBLE))]
    plan = make_plan(make_sweep(tmp_path, *jobs), n_jobs=1)
    assert plan.runs[0].left is not None
    assert plan.runs[1].left is None
    assert plan.runs[1].remark.startswith("a reduction rate of 100.0 leaves")


def test_a_batch_of_more_images_than_there_are_is_told(make_settings, tmp_path):
    settings = make_settings(*TINY)
    put_finished(tmp_path, make_job(settings), training=9.0, whole=9)
    job = make_job(settings, recipe=replace(settings.recipe, batch_size=97))
    (run,) = make_plan(make_sweep(tmp_path, job), n_jobs=1).runs
    assert run.left is None
    assert run.remark == "recipe.batch_size=97 is more than its training images"


def test_runs_go_in_turn_to_the_worker_that_is_free_first():
    assert makespan([4, 3, 2, 1], 1) == 10
    assert makespan([4, 3, 2, 1], 2) == 5
    assert makespan([1, 1, 4], 2) == 5
    assert makespan([], 3) == 0


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ({"n_jobs": 0, "output": "text"}, "hydra.launcher.n_jobs=0"),
        ({"n_jobs": 1, "output": "html"}, "hydra.launcher.format=html: input should be one of text, json, csv"),
    ],
)
def test_a_wrong_option_is_refused_in_one_sentence(make_settings, tmp_path, option, sentence):
    job = make_job(make_settings(*TINY))
    put_finished(tmp_path, job, training=1.0, whole=1)
    with pytest.raises(SettingsError, match=sentence):
        print_plan(make_sweep(tmp_path, job), **option)


def test_a_broken_record_counts_as_a_failure_of_the_plan(make_settings, tmp_path, capsys):
    job = make_job(make_settings(*TINY))
    put_finished(tmp_path, job, training=1.0, whole=1)
    (tmp_path / job.run_id / "record.json").write_text("{}")
    before = session.failures
    print_plan(make_sweep(tmp_path, job), n_jobs=1, output="text")
    assert session.failures == before + 1
    assert f"broken: {job.run_id}: {tmp_path}" in " ".join(capsys.readouterr().out.split())


# --- the command ---


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bnn_ablate", "-m", "hydra/launcher=plan", *TINY, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_plan_leaves_no_trace_where_nothing_was_before(forked, tmp_path):
    output, folder = tmp_path / "output.txt", tmp_path / "empty"
    folder.mkdir()
    arguments = ["-m", "hydra/launcher=plan", *TINY, f"runs={folder / 'runs'}", "seed=0,1"]
    assert forked(command_line, arguments, str(output)) == 0
    assert "2 new" in output.read_text()
    assert "  c  from a few steps timed just now" in output.read_text()
    assert tree(folder) == {}


def test_a_plan_for_a_script_is_all_that_is_printed_and_changes_nothing(make_settings, tmp_path):
    settings = make_settings(*TINY)
    put_finished(tmp_path / "runs", make_job(settings, seed=1), training=30.0, whole=30)
    put_finished(tmp_path / "runs", make_job(settings, seed=2), training=30.0, whole=30)
    put_state(tmp_path / "runs", make_job(settings), "stopped", epochs=1)
    before = tree(tmp_path)
    done = command(tmp_path, "seed=0,1", "grad.clip=1.0,-1.0", "hydra.launcher.format=json")
    assert done.returncode == 1  # one combination is refused
    states = [run["state"] for run in json.loads(done.stdout)["runs"]]
    assert states == ["stopped", "done", "refused", "refused"]
    assert tree(tmp_path) == before
