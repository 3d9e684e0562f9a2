"""``python -m bnn_ablate.dashboard``: W&B's pages for one sweep."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bnn_ablate.console import first_line
from bnn_ablate.dashboard.subject import DashboardError, Subject, subject_of
from bnn_ablate.record import RecordError
from bnn_ablate.settings import SettingsError

HELP = """\
python -m bnn_ablate.dashboard sweep=NAME [--dry-run] [runs=DIR] [project=NAME] [entity=NAME]

Makes a workspace and a report in W&B for a sweep whose runs are there (tracking.mode=online, or sent by `wandb sync`):
bars for each axis and each cell, parallel coordinates, parameter importance, accuracy against size, MACs and latency,
and curves. Every call makes new ones and touches no other.

  sweep=NAME    the sweep, by the name of its table
  --dry-run     print both as JSON; needs neither account nor network
  runs=DIR      folder of the runs (default: runs)
  project=NAME  W&B project (default: that of the sweep's runs)
  entity=NAME   W&B user or team (default: the account's own)

Needs the extra `dashboard` (pip install -e '.[dashboard]') and WANDB_API_KEY in the environment. Exit status: 0; 1 if
something could not be read or sent; 2 if the command is wrong.
"""

FIELDS = ("sweep", "runs", "project", "entity")


def main(arguments: Sequence[str]) -> int:
    """Make the pages, or print them, and return the exit status."""
    if "--help" in arguments or "-h" in arguments:
        print(HELP, end="")
        return 0
    try:
        given, dry_run = read_arguments(arguments)
    except DashboardError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        subject = subject_of(Path(given.get("runs", "runs")), given["sweep"], given.get("project"))
        if find_spec("wandb_workspaces") is None:
            raise DashboardError("wandb-workspaces is not installed: pip install -e '.[dashboard]'")
        if dry_run:
            print(json.dumps(specifications(subject, given.get("entity", "")), indent=1))
        else:
            for what, url in published(subject, given.get("entity")).items():
                print(f"{what}: {url}")
    except (DashboardError, RecordError, SettingsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def read_arguments(arguments: Sequence[str]) -> tuple[dict[str, str], bool]:
    """What was given, and whether it is a dry run; raises DashboardError with one sentence."""
    given: dict[str, str] = {}
    dry_run = False
    for argument in arguments:
        key, _, value = argument.partition("=")
        if argument == "--dry-run":
            dry_run = True
        elif key not in FIELDS or not value:
            choices = ", ".join(f"{name}=" for name in FIELDS)
            raise DashboardError(f"{argument} is not an argument: give {choices} or --dry-run (--help says more)")
        elif key in given:
            raise DashboardError(f"{key}= can be given once")
        else:
            given[key] = value
    if "sweep" not in given:
        raise DashboardError("sweep=NAME is missing: it says which sweep (--help says more)")
    return given, dry_run


def specifications(subject: Subject, entity: str) -> dict[str, Any]:
    """Workspace and report as JSON has them; the report's sets of runs lack the project's number, see ``report_of``."""
    from bnn_ablate.dashboard.panels import report_of, workspace_of

    pages = {"workspace": workspace_of(subject, entity), "report": report_of(subject, entity, found=False)}
    return {
        name: json.loads(page._to_model().model_dump_json(by_alias=True, exclude_none=True))
        for name, page in pages.items()
    }


def published(subject: Subject, entity: str | None) -> dict[str, str]:
    """Save both in W&B and return their addresses. Raises DashboardError, and SettingsError without a server."""
    if "WANDB_API_KEY" not in os.environ:
        raise DashboardError("W&B needs the environment variable WANDB_API_KEY: set it, or print with --dry-run")
    import wandb

    from bnn_ablate.dashboard.panels import report_of, workspace_of
    from bnn_ablate.wandb_access import check_server

    check_server()
    try:
        owner = wandb.Api().default_entity if entity is None else entity
        if owner is None:
            raise DashboardError("the account of WANDB_API_KEY has no default entity: give entity=NAME")
        report = report_of(subject, owner, found=True).save()  # first: it asks whether there is such a project
        workspace = workspace_of(subject, owner).save()
    except DashboardError:
        raise
    except Exception as error:  # wandb promises no narrower type
        raise DashboardError(
            f"W&B did not take the dashboard of {subject.sweep} in project {subject.project}: {first_line(error)}"
        ) from error
    return {"workspace": workspace.url, "report": report.url}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
