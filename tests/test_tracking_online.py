"""W&B online, against a server of our own: what it is sent, and that it never costs a training."""

from __future__ import annotations

import pytest

pytest_plugins = ["online_runs"]


def test_the_server_is_sent_the_whole_run(online, server):
    assert online("study=first", "grad=approxsign", "seed=3") == 0, online.said()
    run, record = online.the_run()
    assert server.unknown == []
    assert list(server.runs) == [record.run_id]
    sent = server.runs[record.run_id]
    assert sent.facts["project"] == "bits"
    assert sent.facts["groupName"] == "first"
    assert sent.facts["jobType"] == "train"
    assert "grad=approxsign" in sent.facts["tags"]
    assert sent.config["grad"]["name"] == "approxsign"
    assert sent.config["recipe"]["epochs"] == 3
    assert sent.config["seed"] == 3
    assert [row["epoch"] for row in sent.history] == [0, 1, 2]
    assert [row["train_loss"] for row in sent.history] == pytest.approx([row.train_loss for row in record.curve])
    assert sent.summary["top1"] == pytest.approx(record.accuracy.top1)
    assert sent.summary["weight_digest"] == record.weight_digest
    assert sent.exit_codes == [0]
    assert sent.summary["packed"]["top1"] == pytest.approx(record.packed.top1)
    names = [artifact["artifactCollectionName"] for artifact in server.artifacts]
    assert sorted(names) == [f"packed-{record.run_id}", f"record-{record.run_id}"]
    for name in ("record.json", "packed.safetensors"):
        assert server.files[f"/artifact/{name}"] == (run.path / name).read_bytes()


def test_a_server_that_goes_away_during_the_run_costs_nothing(online, server):
    server.failure, server.fails_after = "gone", "UpsertBucket"
    assert online(WANDB_FINISH_TIMEOUT="1", WANDB_HTTP_TIMEOUT="1") == 0, online.said()
    run, record = online.the_run()
    assert record.steps == 18
    assert run.status().state == "done"
    assert server.failing
    assert online.said().count(f"W&B does not have all of run {record.run_id}") == 1
    assert "Traceback" not in online.said()


def test_a_server_that_is_not_there_is_told_before_anything_is_trained(online, server):
    server.close()
    assert online() == 1
    assert f"error: the W&B server {server.url} cannot be reached" in online.said()
    assert "Traceback" not in online.said()
    assert not list(online.store.root.glob("*/last.ckpt"))
    assert not list(online.store.runs())


def test_a_server_that_refuses_the_run_is_told_before_anything_is_trained(online, server):
    server.failure, server.fails_after = "500", "RunResumeStatus"
    assert online(WANDB_INIT_TIMEOUT="1") == 1
    assert "error: W&B cannot start run" in online.said()
    assert "Traceback" not in online.said()
    assert not list(online.store.root.rglob("last.ckpt"))
