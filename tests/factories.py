"""Small records and stores for tests, with numbers that a reader can check by hand."""

from __future__ import annotations

import csv
import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bnn_ablate.evaluations import StoredEvaluation, write_evaluation
from bnn_ablate.record import (
    NOT_PACKED,
    Accuracy,
    CostFacts,
    DataFacts,
    Epoch,
    Packed,
    Provenance,
    Record,
    pack_bits,
)
from bnn_ablate.report.__main__ import main
from bnn_ablate.report.cells import loose_cells
from bnn_ablate.report.labels import sorted_cells
from bnn_ablate.report.runs import read_runs
from bnn_ablate.report.sources import Sources
from bnn_ablate.report.tables import make_table, to_text
from bnn_ablate.store import RunFolder, State, Status, Store
from bnn_ablate.study import Job, asked, plan_jobs

#: Ten test images, so that accuracies are tenths.
NUM_TEST = 10


def make_config(**changes: Any) -> dict[str, Any]:
    """A run's configuration as in its record; a change is ``scaling="channel"`` or ``grad={"name": ..., ...}``."""
    config: dict[str, Any] = {
        "scaling": {"name": "none", "gradient": False},
        "grad": {"name": "ste", "clip": 1.0},
        "order": {"name": "post"},
        "model": {"name": "resnet_e18", "family": "resnet_e", "blocks_per_stage": [2, 2, 2, 2], "width": 0.25},
        "data": {"name": "digits", "image_size": 16, "limit_test": "all"},
        "recipe": {"name": "quick", "epochs": 10, "batch_size": 64, "optimizer": {"name": "adam", "lr": 0.01}},
    }
    for key, value in changes.items():
        config[key] = {**config.get(key, {}), **(value if isinstance(value, dict) else {"name": value})}
    return config


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def make_record(*, seed: int = 0, correct: int = 9, top5: float = 1.0, seconds: float = 60.0, **changes: Any) -> Record:
    """A run with ``correct`` of ten test images right."""
    config = make_config(**changes)
    top1 = correct / NUM_TEST
    return Record(
        schema=1,
        run_id=digest(f"{config} {seed}"),
        cell_id=digest(f"{config}"),
        results_version=1,
        seed=seed,
        config={**config, "seed": seed},
        data=DataFacts(name=config["data"]["name"], checksum="c" * 64, num_train=100, num_holdout=0, num_test=NUM_TEST),
        accuracy=Accuracy(
            num_images=NUM_TEST,
            top1=top1,
            top5=top5,
            correct_bits=pack_bits([image < correct for image in range(NUM_TEST)]),
        ),
        last5_top1=top1,
        best_holdout=None,
        packed=Packed(**NOT_PACKED),
        cost=CostFacts(
            params=3000, params_binary=2000, size_bits=4 * 2**20, macs_float=1_000_000, macs_binary=32_000_000
        ),
        weight_digest="d" * 64,
        steps=10,
        curve=[
            Epoch(
                epoch=0,
                lr=0.01,
                train_loss=2.0,
                train_top1=0.5,
                test_loss=2.1,
                test_top1=top1,
                test_top5=top5,
                holdout_top1=None,
                frozen_weights=None,
                seconds=seconds,
            )
        ],
        provenance=Provenance(
            commit=None,
            dirty=None,
            versions={"torch": "2.4"},
            host="bench",
            cpu="some CPU",
            gpu=None,
            devices=1,
            threads=1,
            compiled=False,
            started="2026-01-01T00:00:00+00:00",
            finished="2026-01-01T00:01:00+00:00",
            train_seconds=seconds,
            resumes=0,
            notes=[],
            peak_memory_bytes=1,
        ),
    )


def packed(record: Record, top1: float, **changes: Any) -> Record:
    """The same run after an engine has evaluated it, on a quiet machine."""
    return replace(record, packed=make_packed(top1=top1, **changes))


def make_packed(**changes: Any) -> Packed:
    """Packed results with 1,000,000 sign bits compared, three samples of latency, of median 2 ms, and 500 images/s."""
    values: dict[str, Any] = {
        "status": "evaluated",
        "top1": 0.9,
        "top5": 1.0,
        "disagreeing_predictions": 0,
        "disagreeing_with_equal_signs": 0,
        "flipped_sign_bits": 0,
        "sign_bits": 1_000_000,
        "sign_images": NUM_TEST,
        "file_bytes": 1,
        "weight_bytes": 2,
        "work_bytes": 3,
        "kernel": "avx512",
        "threads": 1,
        "cpu": "some CPU",
        "latency_ms": [9.0, 2.0, 1.0],
        "warmup": 10,
        "busy": False,
        "images_per_second": 500.0,
        "throughput_batch": 32,
    }
    return Packed(**{**values, **changes})


def make_status(record: Record, state: State, error: str | None = None) -> Status:
    """The status of a run that would have given ``record``."""
    return Status(
        run_id=record.run_id,
        cell_id=record.cell_id,
        seed=record.seed,
        state=state,
        config=record.config,
        host="bench",
        pid=1,
        job_id=None,
        updated="2026-01-01T00:00:00+00:00",
        error=error,
        traceback=None,
    )


def put_done(root: Path, record: Record) -> Record:
    """Put a done run into the store under ``root``."""
    folder = Store(root).run(record.run_id)
    folder.path.mkdir(parents=True)
    folder.write_status(make_status(record, "done"))
    folder.write_record(record)
    return record


def put_evaluation(folder: RunFolder, record: Record, **changes: Any) -> Path:
    """Add a later evaluation to a done run; ``changes`` are of its packed results."""
    evaluation = StoredEvaluation(
        schema=1,
        run_id=record.run_id,
        weight_digest=record.weight_digest,
        time="2026-01-02T00:00:00+00:00",
        host="bench",
        commit=None,
        dirty=None,
        versions={},
        accuracy=record.accuracy,
        packed=make_packed(**changes),
        layers=[],
    )
    return write_evaluation(folder.evaluations, evaluation)


def put_status(root: Path, record: Record, state: State, error: str | None = None) -> Record:
    """Put a run without a record into the store under ``root``."""
    folder = Store(root).run(record.run_id)
    folder.path.mkdir(parents=True)
    folder.write_status(make_status(record, state, error))
    return record


def put_study(root: Path, name: str, jobs: Sequence[tuple[str, Record | None]]) -> None:
    """Plan a study: each job's overrides as typed, and the run it became."""
    studies = Store(root).studies
    planned = [
        Job(overrides=asked(overrides.split()), run_id=None if record is None else record.run_id)
        for overrides, record in jobs
    ]
    plan_jobs(studies, name, planned)


def put_grid(root: Path) -> str:
    """The study that tests/test_report.py shows as text; returns the id of its failed run."""
    jobs: list[tuple[str, Record | None]] = [
        (f"scaling=none grad=ste seed={seed}", put_done(root, make_record(seed=seed, correct=7 + seed, seconds=90.0)))
        for seed in (0, 1, 2)
    ]
    single = put_done(root, make_record(seed=1, correct=9, grad="approxsign", seconds=90.0))
    failed = make_record(seed=0, scaling="channel", grad="approxsign")
    put_status(root, failed, "failed", "OSError: no\nmore lines")
    for seed in (0, 1, 2):
        jobs.append((f"scaling=none grad=approxsign seed={seed}", single if seed == 1 else None))
    jobs += [(f"scaling=channel grad=ste seed={seed}", None) for seed in (0, 1, 2)]
    put_study(root, "grid", [*jobs, ("scaling=channel grad=approxsign seed=0", failed)])
    return failed.run_id


#: No claim and no published table, so that a report takes no longer than its runs.
NOTHING_PUBLISHED = Sources(
    claims=Path(__file__).parent / "report" / "no_claims.yaml", declared=Path(__file__).parent / "report" / "no_tables"
)


def make_report(*roots: Path, out: Path) -> int:
    """Run the command without figures and claims; returns its exit status."""
    return main([*(f"runs={root}" for root in roots), f"out={out}", "figures=no"], NOTHING_PUBLISHED)


def rows_of(path: Path) -> list[dict[str, str]]:
    """The lines of a CSV by title."""
    return list(csv.DictReader(path.open(newline="")))


def runs_table(store_root: Path, run_ids: Sequence[str]) -> str:
    """The terminal table of these runs, whichever study they belong to."""
    runs = read_runs(Store(store_root), set(run_ids))
    return to_text(make_table("runs", sorted_cells(loose_cells(runs.values()))))


def assert_same_bytes(folder: Path, *words: str) -> None:
    """Reports of ``folder``/runs by two processes of other hash seeds, time zones and working folders are the same."""
    made = []
    for seed, cwd, name in (("1", folder, "a"), ("2", folder / "runs", "b")):
        command = [sys.executable, "-m", "bnn_ablate.report", f"runs={folder / 'runs'}", f"out={folder / name}", *words]
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": f"UTC+{seed}"}
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        files = (path for path in (folder / name).rglob("*") if path.is_file())
        made.append({str(path.relative_to(folder / name)): path.read_bytes() for path in files})
    assert [name for name in made[0] if made[0][name] != made[1].get(name)] == []
    assert len(made[0]) == len(made[1]) > 60
