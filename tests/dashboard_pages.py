"""Sweeps for tests of the dashboard, and what stands on its pages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bnn_ablate.study import Job, study_path

JOBS = [
    ["scaling=none", "grad=ste", "recipe.optimizer.lr=0.01", "seed=0", "model.width=0.25"],
    ["scaling=none", "grad=ste", "recipe.optimizer.lr=0.1", "seed=1", "model.width=0.25"],
    ["scaling=channel", "grad=ste", "recipe.optimizer.lr=0.1", "seed=0", "model.width=0.25"],
]


def write_sweep(runs: Path, name: str, jobs: list[Job]) -> None:
    studies = runs / "studies"
    studies.mkdir(parents=True, exist_ok=True)
    plain = [{"overrides": job.overrides, "run_id": job.run_id} for job in jobs]
    study_path(studies, name).write_text(json.dumps({"schema": 1, "name": name, "jobs": plain}))


def begin_run(runs: Path, run_id: str, project: str) -> None:
    (runs / run_id).mkdir(parents=True)
    (runs / run_id / "config.yaml").write_text(f"tracking:\n  name: wandb\n  project: {project}\n")


def panels_of(page: dict[str, Any]) -> list[dict[str, Any]]:
    """Every panel of a page, wherever it stands."""
    if isinstance(page, list):
        return [panel for part in page for panel in panels_of(part)]
    if not isinstance(page, dict):
        return []
    own = [page] if "viewType" in page else []
    return own + [panel for part in page.values() for panel in panels_of(part)]
