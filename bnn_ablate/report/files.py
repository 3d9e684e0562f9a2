"""The files of a report in their folder: what an earlier report made and this one does not, goes."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote, unquote

from bnn_ablate.atomic import write_atomically
from bnn_ablate.report.tables import ReportError

#: Names the files that a report made, each with the SHA-256 of its bytes: nothing else is ever removed.
MANIFEST = ".made"


def write_files(out: Path, files: Mapping[str, bytes]) -> None:
    """Write ``files``, whose names are paths below ``out``, each whole or not at all.

    A file of an earlier report that is not among them is removed, unless somebody has changed it since. Raises
    ReportError where a file of somebody else has a name of ours, before anything is written.
    """
    before = _read(out / MANIFEST)
    foreign = [name for name in files if name not in before and (out / name).exists()]
    if foreign:
        raise ReportError(f"out={out}: {foreign[0]} is there and no report made it: move it, or choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    now = {name: sha256(content).hexdigest() for name, content in files.items()}
    # written first with both, so that a report that breaks off leaves no file that the next one does not know
    _write(out / MANIFEST, {**before, **now})
    for name, content in files.items():
        path = out / name
        if not _is(path, now[name]):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
    for name in before.keys() - now.keys():
        if _is(out / name, before[name]):
            (out / name).unlink()
    _write(out / MANIFEST, now)


def _is(path: Path, digest: str) -> bool:
    """Whether the file is there with these bytes."""
    try:
        return sha256(path.read_bytes()).hexdigest() == digest
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return False


def _read(manifest: Path) -> dict[str, str]:
    """Digests by name; lines that name nothing below the folder, by whose hand ever, name nothing of ours."""
    try:
        lines = manifest.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    pairs = [line.partition("  ") for line in lines]
    return {
        unquote(name): digest
        for digest, _, name in pairs
        if name and ".." not in Path(unquote(name)).parts and not Path(unquote(name)).is_absolute()
    }


def _write(manifest: Path, digests: Mapping[str, str]) -> None:
    text = "".join(f"{digests[name]}  {quote(name)}\n" for name in sorted(digests)).encode()
    if not _is(manifest, sha256(text).hexdigest()):
        write_atomically(manifest, text)
