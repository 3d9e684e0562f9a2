"""The address of a run in W&B is kept for people to follow: whole, strict, never at the cost of a run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import TINY
from factories import make_record, packed, put_done, put_evaluation, put_status
from wandb_server import in_environment

from bnn_ablate.identity import ids_of
from bnn_ablate.record import Record, RecordError
from bnn_ablate.report.runs import read_stores
from bnn_ablate.runs.again import put_aside
from bnn_ablate.runs.removal import remove_folder
from bnn_ablate.settings import Settings
from bnn_ablate.store import Store
from bnn_ablate.tracking import show_done, tracker_for
from bnn_ablate.wandb_address import read_address, write_address

pytest_plugins = ["online_runs"]

PAGE = "https://wandb.ai/someone/bits/runs/r1"


def make_folder(root: Path, name: str = "0123456789ab") -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    return folder


def test_the_file_says_which_run_and_where(tmp_path):
    folder = make_folder(tmp_path)
    assert read_address(folder) is None
    write_address(folder, PAGE)
    assert json.loads((folder / "wandb.json").read_text()) == {"schema": 1, "run_id": "0123456789ab", "url": PAGE}
    assert read_address(folder) == PAGE
    write_address(folder, "http://[::1]:8080/a%20b/c@d/runs/r2")
    assert read_address(folder) == "http://[::1]:8080/a%20b/c@d/runs/r2"
    assert [path.name for path in folder.iterdir()] == ["wandb.json"]


def test_a_key_in_an_address_is_not_kept(tmp_path):
    folder = make_folder(tmp_path)
    write_address(folder, f"{PAGE}?apiKey=secret#secret")
    assert read_address(folder) == PAGE
    with pytest.raises(ValueError, match="url"):
        write_address(folder, "https://someone:secret@wandb.ai/runs/r1")
    assert read_address(folder) == PAGE


@pytest.mark.parametrize(
    "content",
    [
        *("{", "[]", "null", '"https://wandb.ai/"'),
        '{"schema": 1, "run_id": "0123456789ab"}',
        '{"schema": 2, "run_id": "0123456789ab", "url": "https://a/"}',
        '{"schema": 1, "run_id": "0123456789ab", "url": "https://a/", "more": 1}',
        '{"schema": 1, "run_id": "ba9876543210", "url": "https://a/"}',
        *(
            json.dumps({"schema": 1, "run_id": "0123456789ab", "url": url})
            for url in (
                *(
                    "javascript:alert(1)",
                    " https://a/",
                    "https://",
                    "https:///x",
                    "https://a b/",
                    "https://a/\n",
                    "//a/x",
                ),
                *(
                    "ftp://a/",
                    "https://a/?q",
                    "https://a/#f",
                    "https://x:y@a/",
                    "https://a/\u00e9",
                    "HTTPS://a/",
                    "",
                    1,
                ),
            )
        ),
    ],
)
def test_a_file_that_holds_anything_else_is_refused_by_name(content, tmp_path):
    folder = make_folder(tmp_path)
    (folder / "wandb.json").write_text(content)
    with pytest.raises(RecordError, match=r"^\S+/0123456789ab/wandb\.json: "):
        read_address(folder)


def test_an_address_that_cannot_be_read_is_a_problem_and_costs_nothing_else(tmp_path):
    damaged, folder = (put_done(tmp_path, packed(make_record(seed=seed), 0.8)).run_id for seed in (0, 1))
    (tmp_path / damaged / "wandb.json").write_text("{")
    (tmp_path / folder / "wandb.json").mkdir()
    contents = read_stores([tmp_path])
    assert [contents.runs[run_id].state for run_id in (damaged, folder)] == ["done", "done"]
    assert contents.runs[damaged].packed is not None
    assert contents.runs[damaged].wandb_address is None
    assert len(contents.problems) == 2
    assert any(problem.startswith(f"{damaged}/wandb.json: Invalid JSON") for problem in contents.problems)
    assert f"{folder}/wandb.json: Is a directory" in contents.problems


def test_both_problems_of_a_run_are_told(tmp_path):
    record = put_done(tmp_path, make_record())
    put_evaluation(Store(tmp_path).run(record.run_id), record).write_text("[")
    (tmp_path / record.run_id / "wandb.json").write_text("{")
    (problem,) = read_stores([tmp_path]).problems
    assert "evaluations/" in problem
    assert f"; {record.run_id}/wandb.json: " in problem


def test_the_address_goes_where_the_other_files_of_a_run_go(tmp_path):
    diverged = put_status(tmp_path, make_record(), "diverged", "loss is nan").run_id
    folder = Store(tmp_path).run(diverged)
    write_address(folder.path, PAGE)
    assert read_stores([tmp_path]).runs[diverged].wandb_address == PAGE
    aside = put_aside(folder)
    assert read_address(folder.path) is None
    assert json.loads((aside / "wandb.json").read_text())["url"] == PAGE
    done = Store(tmp_path).run(put_done(tmp_path, make_record(seed=1)).run_id)
    write_address(done.path, PAGE)
    remove_folder(done, tmp_path, "done")
    assert not list(tmp_path.rglob(f"{done.path.name}*"))


@pytest.mark.parametrize(
    ("url", "reason"),
    [(PAGE, "Is a directory"), ("https://someone:secret@wandb.ai/r1", "it is no plain address of http or https")],
)
def test_an_address_that_cannot_be_kept_is_told_and_costs_nothing(url, reason, make_settings, tmp_path, capsys):
    settings = make_settings(*TINY, "tracking=wandb", "tracking.mode=online", f"runs={tmp_path}")
    tracker = tracker_for(settings, ids_of(settings), "", "train")
    folder = make_folder(tmp_path, tracker.run_id)
    (folder / "wandb.json").mkdir()
    tracker._keep_address(url)
    said = capsys.readouterr().err
    assert (said.count("\n"), "secret" in said) == (1, False)
    assert f"run {tracker.run_id} in W&B cannot be kept in {folder}/wandb.json: {reason};" in said
    assert not tracker.lost
    assert [path.name for path in folder.iterdir()] == ["wandb.json"]


def show_again(settings: Settings, record: Record) -> None:
    show_done(settings, ids_of(settings), "", record, Store(Path(settings.runs)).run(record.run_id))


def test_an_agents_run_in_wandb_replaces_the_address_of_an_earlier_one(forked, server, make_settings, tmp_path):
    settings = make_settings(
        *TINY, "tracking=wandb", "tracking.mode=online", "tracking.project=bits", f"runs={tmp_path}"
    )
    record = put_done(tmp_path, replace(packed(make_record(), 0.8), run_id=ids_of(settings).run_id))
    folder = Store(tmp_path).run(record.run_id)
    folder.packed.write_bytes(b"bits")
    write_address(folder.path, PAGE)
    agents = {"WANDB_SWEEP_ID": "sweep1", "WANDB_RUN_ID": "sweeprun1", "WANDB_PROJECT": "bits"}
    agent = {**server.environment(tmp_path), **agents}
    kept = (folder.path / "record.json").read_bytes()
    assert forked(in_environment, agent, show_again, settings, record) == 0
    assert read_address(folder.path) == f"{server.url}/someone/bits/runs/sweeprun1"
    assert list(server.runs) == ["sweeprun1"]
    assert (folder.path / "record.json").read_bytes() == kept
