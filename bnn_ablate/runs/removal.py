"""Removing runs: whole or not at all, never one that is worked on, and results only where they were named."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bnn_ablate.console import say
from bnn_ablate.report.numbers import counted, duration, percent
from bnn_ablate.report.rows import DASH
from bnn_ablate.runs.asking import confirm
from bnn_ablate.runs.entries import Entry, Listing, RunsError
from bnn_ablate.runs.files import file_sizes, size_text, wandb_folders
from bnn_ablate.runs.table import state_text
from bnn_ablate.runs.words import Words, chosen
from bnn_ablate.store import RunBusyError, RunFolder

#: States of runs that hold, or may hold, a result: a filter takes them only if it names the state.
PROTECTED = ("done", "trained", "broken")
#: Where folders go first, so that an interrupted removal leaves no half run where runs lie.
TRASH = ".removed"


@dataclass(frozen=True)
class Choice:
    """What a removal would take, and what it leaves because a filter did not name its state."""

    taken: tuple[Entry, ...]
    kept: tuple[Entry, ...]


def choose(words: Words, listing: Listing) -> Choice:
    """Raises RunsError where nothing was named: there is no way to say "all" by leaving something out."""
    if not words.chooses:
        raise RunsError("remove needs the ids of runs, or filters such as state=failed")
    found = chosen(words, listing)
    if words.ids:
        return Choice(tuple(found), ())
    kept = tuple(entry for entry in found if entry.state in PROTECTED and entry.state not in words.states)
    return Choice(tuple(entry for entry in found if entry not in kept), kept)


def remove(words: Words, listing: Listing, *, yes: bool) -> int:
    """Show what would go, ask, and remove it. Returns the exit status. Raises RunsError."""
    finish_interrupted(listing.root)
    choice = choose(words, listing)
    if choice.kept:
        states = ", ".join(dict.fromkeys(entry.state for entry in choice.kept))
        say(
            f"{counted(len(choice.kept), 'run')} ({states}) kept: name the state (state=done) or the ids to remove them"
        )
    taken = choice.taken
    if not taken:
        say("nothing to remove")
        return 0
    say("\n".join(_told(taken, listing)))
    if not yes and not _agreed(taken):
        say("nothing was removed")
        return 1
    return _remove_all(taken, listing.root)


def _agreed(taken: Sequence[Entry]) -> bool:
    """A result is not removed by a key pressed too fast: the answer is how many runs there are."""
    question = f"remove {counted(len(taken), 'run')}"
    results = [entry for entry in taken if entry.state in PROTECTED]
    if not results:
        return confirm(question, "y")
    spent = sum(entry.train_seconds for entry in results if entry.train_seconds is not None)
    question = f"{question}, {len(results)} with a result, {duration(spent)} of training"
    return confirm(f"{question}: is it {len(taken)}", str(len(taken)))


def _told(taken: Sequence[Entry], listing: Listing) -> list[str]:
    """A line a run, and what else knows them."""
    lines = []
    total = 0
    for entry in taken:
        size = sum(file_sizes(entry.folder.path).values())
        total += size
        top1 = DASH if entry.record is None else f"{percent(100 * entry.record.accuracy.top1)} %"
        spent = DASH if entry.train_seconds is None else duration(entry.train_seconds)
        seed = "" if entry.run.seed is None else f" seed={entry.run.seed}"
        lines.append(f"{entry.id}  {state_text(entry)}  top-1 {top1}  {spent}  {size_text(size)}  {label(entry)}{seed}")
    lines.append(f"together {size_text(total)}")
    if any(wandb_folders(entry) for entry in taken):
        lines.append(f"what W&B has of them stays in {listing.root / 'wandb'}")
    studies = dict.fromkeys(name for entry in taken for name in entry.studies)
    for name in studies:
        planned = sum(name in entry.studies for entry in taken)
        lines.append(f"study {name} goes on listing {counted(planned, 'run')} of them, as missing")
    ids = {entry.id for entry in taken}
    for entry in listing.entries:
        if entry.id not in ids and entry.record is not None and entry.record.pretrained_by in ids:
            lines.append(f"run {entry.id} started from the weights of {entry.record.pretrained_by}; its result stays")
    return lines


def label(entry: Entry) -> str:
    """The model, the data and the axes that runs are usually told by."""
    names = ("model", "data", "recipe", "scaling", "grad")
    return " ".join(f"{name}={entry.leaves[name]}" for name in names if name in entry.leaves)


def _remove_all(taken: Sequence[Entry], root: Path) -> int:
    failures = 0
    for entry in taken:
        try:
            remove_folder(entry.folder, root, entry.state)
        except (RunBusyError, RunsError) as error:
            failures += 1
            say(f"kept: {error}")
        except OSError as error:
            failures += 1
            say(f"kept: run {entry.id} cannot be removed: {error.strerror}")
        else:
            say(f"run {entry.id} removed")
    return 1 if failures else 0


def remove_folder(folder: RunFolder, root: Path, state: str) -> None:
    """Take the folder out of the store by one rename, and then its files.

    Raises RunBusyError while a process works on the run, RunsError where it has become another than was shown, and
    OSError.
    """
    if not folder.path.is_dir():
        raise RunsError(f"run {folder.path.name} is not there any more")
    if folder.is_busy():  # the lock would wait for a process elsewhere to give no sign of life
        raise RunBusyError(f"run {folder.path.name} is being worked on: wait for it, or stop it first")
    trash = root / TRASH
    target = trash / f"{folder.path.name}.{os.getpid()}"
    with folder.lock():
        if state not in PROTECTED and folder.has_record:
            raise RunsError(f"run {folder.path.name} was finished meanwhile")
        trash.mkdir(exist_ok=True)
        folder.path.rename(target)
    _delete(target)
    _leave(trash)


def finish_interrupted(root: Path) -> None:
    """Delete what an earlier removal had taken out of the store and could not. Raises RunsError."""
    trash = root / TRASH
    if trash.is_dir():
        try:
            for path in sorted(trash.iterdir()):
                _delete(path)
        except OSError as error:
            raise RunsError(f"{trash} cannot be emptied: {error.strerror}") from None
        _leave(trash)


def _delete(path: Path) -> None:
    """Delete a folder that another removal may be deleting too."""

    def passed_over(function: object, name: str, info: tuple[type, BaseException, object]) -> None:
        if not isinstance(info[1], FileNotFoundError):
            raise info[1]

    shutil.rmtree(path, onerror=passed_over)


def _leave(trash: Path) -> None:
    try:
        trash.rmdir()
    except OSError:
        return  # another removal is at work there
