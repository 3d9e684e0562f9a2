"""W&B online, against a server of our own: what it is sent, and that it never costs a training."""

from __future__ import annotations

import csv

import pytest

from bnn_ablate.wandb_address import read_address

pytest_plugins = ["online_runs"]


def test_the_server_is_sent_the_whole_run(online, server):
    assert online("study=first", "grad=approxsign", "seed=3") == 0, online.said()
    run, record = online.the_run()
    assert server.unknown == []
    assert list(server.runs) == [record.run_id]
    assert read_address(run.path) == f"{server.url}/someone/bits/runs/{record.run_id}"
    sent = server.runs[record.run_id]
    assert sent.facts["project"] == "bits"
    assert sent.facts["groupName"] == "first"
    assert sent.facts["jobType"] == "train"
    assert "grad=approxsign" in sent.facts["tags"]
    assert sent.config["grad"] == "approxsign"
    assert sent.config["settings"]["recipe"]["epochs"] == 3
    assert sent.config["seed"] == 3
    *curve, last = sent.history
    assert [row["epoch"] for row in curve] == [0, 1, 2]
    for name in ("train_loss", "test_loss", "train_top1", "test_top1", "lr"):
        assert [row[name] for row in curve] == pytest.approx([getattr(row, name) for row in record.curve])
    assert (last["epoch"], last["packed_top1"]) == (2, pytest.approx(record.packed.top1))
    assert sent.exit_codes == [0]
    summary = sent.summary
    assert summary["top1"] == pytest.approx(record.accuracy.top1)
    assert summary["top5"] == pytest.approx(record.accuracy.top5)
    assert summary["packed_top1"] == pytest.approx(record.packed.top1)
    assert summary["size_mib"] == pytest.approx(record.cost.size_bits / 8 / 1024 / 1024)
    assert summary["macs_float"] == record.cost.macs_float
    assert summary["macs_binary"] == record.cost.macs_binary
    assert summary["macs_combined"] == pytest.approx(record.cost.macs_float + record.cost.macs_binary / 64)
    assert summary.get("latency_ms") == pytest.approx(record.packed.median_latency_ms)  # both missing on a busy machine
    assert summary["weight_digest"] == record.weight_digest
    with open(run.path / "diagnostics.csv") as file:
        for line in csv.DictReader(file):
            sent_value = curve[int(line["epoch"])][f"{line['quantity']}/{line['layer']}"]
            assert sent_value == pytest.approx(float(line["value"]))
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


@pytest.mark.parametrize(("failure", "step"), [("slow", 8), ("gone", None)])
def test_a_server_that_fails_in_the_middle_or_at_the_end_costs_nothing(failure, step, online):
    online.check_that_failing_costs_nothing(failure, step)
