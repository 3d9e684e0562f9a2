"""Copying results into another store: the files that a report reads, and nothing that is large.

So the records of a reference study can be committed, and a report of them made where nothing was ever trained.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bnn_ablate.atomic import write_atomically
from bnn_ablate.console import say
from bnn_ablate.record import Record, RecordError, same_result
from bnn_ablate.report.numbers import counted
from bnn_ablate.runs.entries import Entry, Listing, RunsError
from bnn_ablate.runs.files import size_text
from bnn_ablate.runs.words import Words, chosen
from bnn_ablate.store import Store
from bnn_ablate.study import Study, read_study, study_path

#: What is copied of a run, where it is there; the record comes last, because it says that the run is whole.
FILES = ("diagnostics.csv", "scaling_error.json", "wandb.json", "evaluations/*.json", "record.json")
#: States without a record that are outcomes all the same: of them the status is copied, with its reason.
OUTCOMES = ("failed", "diverged")


@dataclass(frozen=True, kw_only=True)
class Copy:
    """The files of one run, or of the studies (``name`` is "studies"), that the other store does not have yet."""

    name: str
    files: tuple[tuple[Path, Path], ...]
    #: Whether the other store had the record before.
    known: bool = False


def copy(words: Words, listing: Listing, to: Path) -> int:
    """Copy the chosen runs that are done, failed or diverged, and their studies' files. Returns the exit status.

    Everything is compared before anything is written. Raises RunsError where ``to`` is no other store, has another
    result of a run, or cannot be written.
    """
    if to.exists() and not to.is_dir():
        raise RunsError(f"{to} is a file: give the folder of another store")
    if to.resolve() == listing.root.resolve():
        raise RunsError(f"{to} is the store that is copied from: give another folder")
    entries = chosen(words, listing)
    copies = [_of_run(entry, entry.record, to) for entry in entries if entry.record is not None]
    copies += [_of_outcome(entry, to) for entry in entries if entry.state in OUTCOMES]
    copies.append(_of_studies(_studies(words, entries), listing, to))
    written = _write(copies)
    for line in _told(copies, written, entries, to):
        say(line)
    return 1 if any(entry.state == "broken" for entry in entries) else 0


def _of_run(entry: Entry, own: Record, to: Path) -> Copy:
    there = Store(to).run(entry.id)
    try:
        record = there.record()
    except (RecordError, OSError) as error:
        raise RunsError(
            f"{to} has a record of run {entry.id} that cannot be read ({error}): nothing was copied"
        ) from None
    if record is not None and not same_result(record, own):
        raise RunsError(f"{to} has another result of run {entry.id}: nothing was copied; remove one of them first")
    found = [source for pattern in FILES for source in sorted(entry.folder.path.glob(pattern))]
    pairs = [(source, there.path / source.relative_to(entry.folder.path)) for source in found]
    return Copy(name=entry.id, files=tuple(pair for pair in pairs if not pair[1].exists()), known=record is not None)


def _of_outcome(entry: Entry, to: Path) -> Copy:
    """A run that has no result and will not have one by itself, unless the other store knows of one."""
    there = Store(to).run(entry.id).path
    pairs = [(entry.folder.path / name, there / name) for name in ("diagnostics.csv", "status.json")]
    known = any((there / name).exists() for name in ("record.json", "status.json"))
    return Copy(name=entry.id, files=() if known else tuple(pair for pair in pairs if pair[0].exists()))


def _studies(words: Words, entries: Sequence[Entry]) -> list[str]:
    """The studies that were named; where none was, all that planned one of the runs."""
    named = next((values for key, values in words.filters if key == "study"), None)
    planned = sorted({name for entry in entries for name in entry.studies})
    return planned if named is None else [name for name in planned if name in named]


def _of_studies(names: Sequence[str], listing: Listing, to: Path) -> Copy:
    files = []
    for name in names:
        source, target = (study_path(Store(root).studies, name) for root in (listing.root, to))
        if target.exists():
            try:
                before = read_study(target)
            except (RecordError, OSError) as error:
                raise RunsError(f"{to} has a study {name} that cannot be read ({error}): nothing was copied") from None
            if before == listing.studies[name]:
                continue
            if not _holds(listing.studies[name], before):
                raise RunsError(
                    f"{to} has a study {name} with jobs or declarations that this one has not: nothing was copied; "
                    "remove one of them first"
                )
        files.append((source, target))
    return Copy(name="studies", files=tuple(files))


def _holds(study: Study, before: Study) -> bool:
    """Whether all of a study of before is still there: jobs and declarations may have been added."""
    return all(job in study.jobs for job in before.jobs) and all(one in study.declared for one in before.declared)


def _write(copies: Sequence[Copy]) -> dict[str, int]:
    """Write the files, each whole or not at all; returns the bytes for each copy."""
    written: Counter[str] = Counter()
    for one in copies:
        for source, target in one.files:
            try:
                content = source.read_bytes()
                target.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(target, content)
            except OSError as error:
                raise RunsError(
                    f"{target} cannot be written: {error.strerror}; the same command goes on where this one stopped"
                ) from None
            written[one.name] += len(content)
    return written


def _told(copies: Sequence[Copy], written: dict[str, int], entries: Sequence[Entry], to: Path) -> Iterator[str]:
    """A line for whatever was written, what was there, what was left out, and the sum."""
    for one in copies:
        if one.files:
            names = ", ".join(str(target.relative_to(to / one.name)) for _, target in one.files)
            yield f"{one.name}  {size_text(written[one.name])}  {names}"
    there = sum(one.known for one in copies)
    if there:
        yield f"{counted(there, 'record')} there before, with the same result"
    others = Counter(entry.state for entry in entries if entry.record is None and entry.state not in OUTCOMES)
    if others:
        told = ", ".join(f"{number} {state}" for state, number in sorted(others.items()))
        yield f"{counted(others.total(), 'run')} without a record left out: {told}"
    ids = {entry.id for entry in entries}
    for entry in entries:
        before = None if entry.record is None else entry.record.pretrained_by
        if before is not None and before not in ids:
            yield f"run {entry.id} started from the weights of run {before}, which is not among these runs"
    runs = sum(bool(one.files) for one in copies if one.name != "studies")
    studies = sum(len(one.files) for one in copies if one.name == "studies")
    yield f"{to}: {counted(runs, 'run')} and {_studies_told(studies)} copied, {size_text(sum(written.values()))}"


def _studies_told(number: int) -> str:
    return "1 study" if number == 1 else f"{number} studies"
