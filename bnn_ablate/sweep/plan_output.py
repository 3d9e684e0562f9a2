"""A plan for scripts: JSON and CSV with the same fields a run."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from bnn_ablate.sweep.jobs import RefusedJob
from bnn_ablate.sweep.planning import Plan, PlannedRun


def run_fields(run: PlannedRun) -> dict[str, Any]:
    """One run as plain values. ``seconds_left`` is 0 where nothing is left for this sweep, null where nobody knows."""
    idle = not run.standing.to_do
    return {
        "run_id": run.job.run_id,
        "cell_id": run.job.ids.cell_id,
        "seed": run.job.settings.seed,
        "label": run.job.label,
        "overrides": list(run.job.overrides),
        "state": run.standing.state,
        "epochs_done": run.standing.epochs,
        "epochs": run.job.settings.recipe.epochs,
        "seconds": None if run.whole is None else round(run.whole.seconds, 3),
        "seconds_left": 0.0 if idle else None if run.left is None else round(run.left.seconds, 3),
        "estimate": None if run.left is None else run.left.source,
        "bytes_left": 0 if idle else run.bytes_left,
        "remark": run.remark,
    }


def refused_fields(job: RefusedJob) -> dict[str, Any]:
    """The same fields of a combination that is no run."""
    known = {"label": job.label, "overrides": list(job.overrides), "state": "refused", "remark": job.reason}
    names = (
        *("run_id", "cell_id", "seed", "label", "overrides", "state", "epochs_done", "epochs"),
        *("seconds", "seconds_left", "estimate", "bytes_left", "remark"),
    )
    return {name: known.get(name) for name in names}


def to_json(plan: Plan) -> str:
    """The whole plan as one JSON object; ``runs`` has an object for each run and each refused combination."""
    content = {
        "study": plan.study,
        "root": str(plan.root),
        "runs": _all_fields(plan),
        "repeated": plan.repeated,
        "at_a_time": plan.at_a_time,
        "seconds_left": round(plan.seconds_left, 3),
        "wall_seconds": None if plan.wall_seconds is None else round(plan.wall_seconds, 3),
        "without_estimate": len(plan.unknown),
        "bytes_left": plan.bytes_left,
        "bytes_free": plan.bytes_free,
    }
    return json.dumps(content, indent=1)


def to_csv(plan: Plan) -> str:
    """A line for each run and each refused combination; null is an empty field, overrides are joined by spaces."""
    rows = [{**row, "overrides": " ".join(row["overrides"])} for row in _all_fields(plan)]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().rstrip("\n")


def _all_fields(plan: Plan) -> list[dict[str, Any]]:
    return [*map(run_fields, plan.runs), *map(refused_fields, plan.refused)]
