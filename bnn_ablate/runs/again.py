"""Training runs again that did not come to a result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import yaml

from bnn_ablate.console import say
from bnn_ablate.data.errors import DataError
from bnn_ablate.data.identity import data_checksum
from bnn_ablate.identity import ids_of
from bnn_ablate.older import completed
from bnn_ablate.report.numbers import counted, one_line
from bnn_ablate.report.rows import error_of
from bnn_ablate.runs.asking import confirm
from bnn_ablate.runs.entries import Entry, Listing, RunsError, read_config
from bnn_ablate.runs.removal import label
from bnn_ablate.runs.words import Words, chosen
from bnn_ablate.settings import Data, Settings, SettingsError, read_settings
from bnn_ablate.store import RunBusyError, RunFolder

#: States that an explicit word may ask for; without one only failed runs are meant.
STATES = ("failed", "diverged", "stopped", "running", "begun", "trained")
#: What stays where it is when a diverged run's attempt is put aside.
STAYS = ("config.yaml", "lock", "heartbeat.json")


def retry(words: Words, listing: Listing, *, yes: bool) -> int:
    """Train the chosen runs again, failed and stopped ones from their checkpoints. Returns the exit status.

    A run that can no longer be had under its id, or that a process works on, is told and left. Raises RunsError.
    """
    found = _meant(words, listing)
    if not found:
        say("nothing to train again")
        return 0
    ready: dict[str, Settings] = {}
    checksum_of = cache(data_checksum)  # of hundreds of runs on the same images
    for entry in found:
        try:
            ready[entry.id] = settings_again(entry, listing.root, checksum_of)
        except RunsError as error:
            say(f"left: {error}")
    diverged = [entry for entry in found if entry.id in ready and entry.state == "diverged"]
    if diverged and not _agreed(diverged, yes=yes):
        say("nothing was trained")
        return 1
    for entry in diverged:
        try:
            say(f"run {entry.id}: what it left is in {put_aside(entry.folder)} now")
        except (RunBusyError, OSError) as error:
            del ready[entry.id]
            say(f"left: {error}")
    names = labels(found, listing)
    done = train_again(list(ready.values()), [names[run_id] for run_id in ready])
    return 0 if done == len(found) else 1


def _meant(words: Words, listing: Listing) -> list[Entry]:
    for state in words.states:
        if state not in STATES:
            raise RunsError(f"state={state}: such runs cannot be trained again, only {', '.join(STATES)}")
    found = chosen(words, listing)
    if words.ids:
        for entry in found:
            if entry.state not in STATES:
                raise RunsError(f"run {entry.id} is {entry.state}: only {', '.join(STATES)} runs are trained again")
        return found
    return found if words.states else [entry for entry in found if entry.state == "failed"]


def _agreed(diverged: Sequence[Entry], *, yes: bool) -> bool:
    """Diverging is an outcome; the same computation on the same machine ends there again."""
    for entry in diverged:
        say(f"{entry.id} diverged: {one_line(error_of(entry.run))}  ({label(entry)})")
    question = f"train {counted(len(diverged), 'diverged run')} again from the start, what they left put aside"
    return yes or confirm(question, "y")


def settings_again(entry: Entry, root: Path, checksum_of: Callable[[Data], str]) -> Settings:
    """The settings in the run's folder, as a run of this store.

    Raises RunsError where a process works on it, or its settings are those of another run by now.
    """
    if entry.holder is not None:
        raise RunsError(f"run {entry.id} is being worked on by {entry.holder.holder}")
    try:
        settings = replace(read_settings(completed(read_config(entry.folder))), runs=str(root))
        now = ids_of(settings, checksum=checksum_of(settings.data)).run_id
    except (SettingsError, DataError, RunsError) as error:
        raise RunsError(f"run {entry.id} cannot be trained again: {error}") from None
    if now != entry.id:
        raise RunsError(
            f"run {entry.id} would be run {now} today, because options, images or the code's version of results "
            "changed since: start it by its own command"
        )
    return settings


def labels(entries: Sequence[Entry], listing: Listing) -> dict[str, str]:
    """What each run is called: as in the first of its studies, or else by its usual axes."""
    from bnn_ablate.sweep.jobs import labels_of

    names: dict[str, str] = {}
    for study in listing.studies.values():
        for job, name in zip(study.jobs, labels_of([tuple(job.overrides) for job in study.jobs]), strict=True):
            if job.run_id is not None:
                names.setdefault(job.run_id, name)
    return {entry.id: names.get(entry.id, label(entry)) for entry in entries}


def put_aside(folder: RunFolder) -> Path:
    """Move what a diverged training left into a folder of its own inside the run's, and return that.

    Nothing is lost: curve, checkpoint, traceback and output stay readable there. The status goes last, so that an
    interrupted move leaves the run diverged and can be repeated. Raises RunBusyError and OSError.
    """
    aside = folder.path / f"diverged-{datetime.now(UTC).strftime('%Y%m%dT%H%M%S.%fZ')}"
    with folder.lock():
        aside.mkdir()
        files = [path for path in folder.path.iterdir() if path.is_file() and path.name not in STAYS]
        for path in sorted(files, key=lambda path: (path.name == "status.json", path.name)):
            if not path.name.startswith("."):  # a heartbeat being written
                path.rename(aside / path.name)
    return aside


def train_again(runs: Sequence[Settings], names: Sequence[str]) -> int:
    """Train them side by side as a sweep does; returns how many are done. Raises KeyboardInterrupt."""
    from bnn_ablate.__main__ import CONF
    from bnn_ablate.sweep.local import run_settings

    launcher = yaml.safe_load((CONF / "hydra" / "launcher" / "local.yaml").read_text())
    outcomes = run_settings(runs, names, n_jobs=launcher["n_jobs"], timeout_minutes=launcher["timeout_minutes"])
    return sum(outcome.kind == "done" for outcome in outcomes.values())
