"""Which packed results of a run count: the record's own, and what later evaluations may put in their place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from factories import NUM_TEST, make_packed, make_record, packed, put_done, put_evaluation

from bnn_ablate.evaluations import packed_results, read_evaluation, write_evaluation
from bnn_ablate.record import Accuracy, RecordError, pack_bits
from bnn_ablate.store import RunFolder, Store

#: What another machine's evaluation of other images would say.
ELSEWHERE = {"top1": 0.1, "top5": 0.2, "flipped_sign_bits": 7, "sign_bits": 8, "sign_images": 3}
#: What belongs to the time and the place of a measurement.
TIMES = {
    "latency_ms": [4.0, 5.0],
    "warmup": 3,
    "images_per_second": 250.0,
    "throughput_batch": 16,
    "cpu": "another CPU",
    "weight_bytes": 20,
    "work_bytes": 30,
}


def folder_of(root: Path, record) -> RunFolder:
    put_done(root, record)
    return Store(root).run(record.run_id)


def test_only_times_place_and_memory_are_replaced_where_a_machine_was_busy(tmp_path: Path) -> None:
    record = packed(make_record(), top1=0.7, busy=True)
    folder = folder_of(tmp_path, record)
    put_evaluation(folder, record, **ELSEWHERE, **TIMES)
    assert packed_results(record, folder.evaluations) == make_packed(top1=0.7, busy=False, **TIMES)


def test_times_of_a_network_of_other_bytes_do_not_count(tmp_path: Path) -> None:
    record = packed(make_record(), top1=0.7, busy=True)
    folder = folder_of(tmp_path, record)
    put_evaluation(folder, record, **TIMES, file_bytes=99)
    assert packed_results(record, folder.evaluations) == record.packed


def test_the_newest_of_several_counts_and_a_damaged_older_one_is_not_read(tmp_path: Path) -> None:
    record = packed(make_record(), top1=0.7, busy=True)
    folder = folder_of(tmp_path, record)
    put_evaluation(folder, record, top1=0.7, latency_ms=[6.0]).write_text("{")
    put_evaluation(folder, record, top1=0.7, latency_ms=[4.0])
    newest = put_evaluation(folder, record, top1=0.7, latency_ms=[5.0])
    assert packed_results(record, folder.evaluations).latency_ms == [5.0]
    newest.write_text("{")
    with pytest.raises(RecordError, match=newest.name):
        packed_results(record, folder.evaluations)


def test_a_run_of_before_the_engine_takes_a_quiet_evaluation_or_else_the_newest(tmp_path: Path) -> None:
    record = make_record()
    folder = folder_of(tmp_path, record)
    assert packed_results(record, folder.evaluations) == record.packed
    for latency in (1.0, 2.0):
        put_evaluation(folder, record, latency_ms=[latency], busy=True)
    assert packed_results(record, folder.evaluations).latency_ms == [2.0]
    put_evaluation(folder, record, latency_ms=[3.0])
    put_evaluation(folder, record, latency_ms=[4.0], busy=True)
    assert packed_results(record, folder.evaluations).latency_ms == [3.0]


def test_a_run_of_before_the_engine_takes_no_evaluation_in_which_other_images_are_right(tmp_path: Path) -> None:
    record = make_record(correct=9)
    folder = folder_of(tmp_path, record)
    path = put_evaluation(folder, record)
    evaluation = read_evaluation(path)
    path.unlink()
    # as many as in the record, and not the same
    bits = pack_bits([image > 0 for image in range(NUM_TEST)])
    other = Accuracy(num_images=NUM_TEST, top1=0.9, top5=1.0, correct_bits=bits)
    write_evaluation(folder.evaluations, replace(evaluation, accuracy=other))
    assert packed_results(record, folder.evaluations) == record.packed
