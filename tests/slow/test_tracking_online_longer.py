"""W&B online where it takes two runs, several processes, or a server that keeps one waiting."""

from __future__ import annotations

import pytest

pytest_plugins = ["online_runs"]


def test_a_stopped_run_goes_on_in_the_same_wandb_run(online, server):
    assert online(stop_at_step=14) == 130, online.said()  # in the third of three epochs
    (sent,) = server.runs.values()
    assert len(sent.history) == 2
    assert online() == 0, online.said()
    _, record = online.the_run()
    assert list(server.runs) == [record.run_id]
    assert [row["train_loss"] for row in sent.history] == pytest.approx([row.train_loss for row in record.curve])
    assert sent.history_lines_received == 3
    assert [row["_step"] for row in sent.history] == [0, 1, 2]


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
    assert [row["train_loss"] for row in sent.history] == pytest.approx([row.train_loss for row in record.curve])
    assert sent.history_lines_received == 3
    assert sent.summary["top1"] == pytest.approx(record.accuracy.top1)
    assert sent.exit_codes == [0, 0]  # the training processes', then that of the one that records
    assert "/artifact/record.json" in server.files
