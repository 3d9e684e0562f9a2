"""W&B online where it takes two runs, several processes, or a server that keeps one waiting."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["online_runs"]


def test_a_stopped_run_goes_on_in_the_same_wandb_run(online, server):
    assert online(stop_at_step=14) == 130, online.said()  # in the third of three epochs
    (sent,) = server.runs.values()
    assert len(sent.history) == 2
    assert online() == 0, online.said()
    _, record = online.the_run()
    assert list(server.runs) == [record.run_id]
    *curve, last = sent.history
    assert [row["train_loss"] for row in curve] == pytest.approx([row.train_loss for row in record.curve])
    assert last["packed_top1"] == pytest.approx(record.packed.top1)
    assert sent.history_lines_received == 4
    assert [row["_step"] for row in sent.history] == [0, 1, 2, 3]


def test_a_server_that_answers_500_during_the_run_costs_nothing(online, server):
    server.failure, server.fails_after = "500", "UpsertBucket"
    assert online(WANDB_FINISH_TIMEOUT="1", WANDB_HTTP_TIMEOUT="1") == 0, online.said()
    run, record = online.the_run()
    assert record.steps == 18
    assert run.status().state == "done"
    assert server.failing
    assert online.said().count(f"W&B does not have all of run {record.run_id}") == 1
    assert "Traceback" not in online.said()


def test_several_processes_send_one_whole_run(online, server):
    assert online("trainer=ddp") == 0, online.said()
    _, record = online.the_run()
    (sent,) = server.runs.values()
    assert "W&B" not in online.said()
    *curve, last = sent.history
    assert [row["train_loss"] for row in curve] == pytest.approx([row.train_loss for row in record.curve])
    assert all(row["flipped_signs/all"] > 0 for row in curve)
    assert last["packed_top1"] == pytest.approx(record.packed.top1)
    assert sent.history_lines_received == 4
    assert sent.summary["top1"] == pytest.approx(record.accuracy.top1)
    assert sent.exit_codes == [0, 0]  # the training processes', then that of the one that records
    assert "/artifact/record.json" in server.files


@pytest.mark.parametrize(("failure", "step"), [("slow", None), ("gone", 8), ("500", None)])
def test_a_server_that_fails_costs_nothing_whenever_it_begins(failure, step, online):
    online.check_that_failing_costs_nothing(failure, step)


def test_an_offline_run_that_is_synced_later_arrives_whole(online, server):
    assert online("tracking.mode=offline", "study=later", "grad=approxsign") == 0, online.said()
    assert server.requests == []
    run, record = online.the_run()
    folders = [str(folder) for folder in (online.store.root / "wandb").glob("offline-run-*")]
    others = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    environment = {**others, **server.environment(online.folder)}
    wandb = Path(sys.executable).parent / "wandb"
    done = subprocess.run([wandb, "sync", *folders], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert server.unknown == []
    sent = server.runs[record.run_id]
    assert (sent.facts["groupName"], sent.facts["jobType"]) == ("later", "train")
    assert "grad=approxsign" in sent.facts["tags"]
    assert sent.config["settings"] == record.config
    *curve, last = sent.history
    assert [row["train_loss"] for row in curve] == pytest.approx([row.train_loss for row in record.curve])
    assert last["packed_top1"] == pytest.approx(record.packed.top1)
    assert sent.summary["weight_digest"] == record.weight_digest
    for name in ("record.json", "packed.safetensors"):
        assert server.files[f"/artifact/{name}"] == (run.path / name).read_bytes()


def test_the_float_network_of_a_pretraining_is_a_job_of_its_own_kind_in_the_same_group(online, server):
    assert online("study=tuned", "pretrain=relu") == 0, online.said()
    records = {record.run_id: record for record in (run.record() for run in online.store.runs())}
    kinds = {name: sent.facts["jobType"] for name, sent in server.runs.items()}
    assert kinds == {
        name: "train" if record.config["pretrain"]["name"] == "relu" else "pretrain" for name, record in records.items()
    }
    assert sorted(kinds.values()) == ["pretrain", "train"]
    assert {sent.facts["groupName"] for sent in server.runs.values()} == {"tuned"}
    # a float network has neither signs to flip nor a bound beyond which relu's inputs saturate
    (pretrained,) = (server.runs[name] for name, kind in kinds.items() if kind == "pretrain")
    assert {key.split("/")[0] for key in pretrained.history[0] if "/" in key} == {"gradient_norm"}
