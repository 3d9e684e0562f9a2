"""What lies in a run's folder: sizes, the last lines of its output, and what W&B keeps beside it."""

from __future__ import annotations

from pathlib import Path

from bnn_ablate.report.numbers import significant
from bnn_ablate.runs.entries import Entry
from bnn_ablate.store import RunFolder

#: Last lines of a run's output that are shown.
LINES = 20
#: Bytes at its end in which they are looked for.
BYTES = 8192


def output_tail(folder: Path) -> list[str]:
    """The last lines of what the run printed; none where it was trained in a terminal."""
    try:
        with RunFolder(folder).output.open("rb") as file:
            start = max(0, file.seek(0, 2) - BYTES)
            file.seek(start)
            lines = file.read().decode(errors="replace").splitlines()[1 if start else 0 :]
    except OSError:
        return []
    return [printable(line) for line in lines[-LINES:]]


def printable(line: str) -> str:
    """A line without control characters, which would colour the terminal; indents stay."""
    return "".join(letter if letter.isprintable() else " " for letter in line).rstrip()


def file_sizes(folder: Path) -> dict[str, int]:
    """Bytes of each file, and of each folder in sum."""
    sizes = {}
    for path in sorted(folder.iterdir()):
        name = f"{path.name}/" if path.is_dir() else path.name
        sizes[name] = sum(map(_bytes, path.rglob("*"))) if path.is_dir() else _bytes(path)
    return sizes


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except FileNotFoundError:
        return 0  # a run at work writes files and renames them


def size_text(size: float) -> str:
    """Bytes in the unit that leaves few digits."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{significant(size) if unit != 'B' else int(size)} {unit}"
        size /= 1024
    return f"{significant(size)} GiB"


def wandb_folders(entry: Entry) -> list[Path]:
    """W&B's folders of this run; a run of a W&B agent has another id there and is found by its config alone."""
    return sorted((entry.folder.path.parent / "wandb").glob(f"*run-*-{entry.id}"))
