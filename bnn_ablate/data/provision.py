"""Where the files of a published set are: in root as they are, in an archive there, in shards, or on the network."""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from pathlib import Path

from filelock import FileLock

from bnn_ablate.atomic import write_atomically
from bnn_ablate.data.download import fetch
from bnn_ablate.data.errors import DataError
from bnn_ablate.data.parquet import Shards, find_shards
from bnn_ablate.data.sources import Source


def provide(name: str, root: Path, source: Source, *, download: bool) -> Path | Shards:
    """The folder that holds all original files, else the shards; DataError says what was looked for and where.

    The original files come first, in ``root`` or in the folder of their archive, then the archive itself (which is
    extracted beside it), then shards, and last, where ``download`` allows it, the network.
    """
    if root.exists() and not root.is_dir():
        raise DataError(f"data.root={root} is a file: give the folder that holds the images")
    archive = _archive(root, source)
    found = _folder(root, source)
    if found is not None:
        return found
    if archive is not None and archive.is_file():
        return extract(archive, root, source)
    shards = find_shards(root, source)
    if shards is not None:
        return shards
    if not download:
        places = f"{root} and {root / source.folder}" if archive is not None else str(root)
        lacking = [[name for name in source.files if not (f / name).is_file()] for f in (root, root / source.folder)]
        missing = min(lacking, key=len)
        others = [] if archive is None else [archive.name]
        if source.label_column is not None and source.pixels is not None:
            others += ["train-*.parquet", "test-*.parquet"]
        instead = f" (nor, instead of them, {', '.join(others)})" if others else ""
        raise DataError(
            f"data={name} was looked for in {places}: {', '.join(missing)} not found{instead}; data.download=true "
            "fetches what is missing, data.root=FOLDER looks elsewhere"
        )
    for remote in source.remote:
        fetch(source.base_url, remote, root)
    return root if archive is None else extract(archive, root, source)


def _archive(root: Path, source: Source) -> Path | None:
    """Where the archive lies or would lie; None for a set that is published as single files."""
    (first, *_) = source.remote
    return root / first.name if first.name.endswith(".tar.gz") else None


def _folder(root: Path, source: Source) -> Path | None:
    for folder in (root, root / source.folder):
        if all((folder / name).is_file() for name in source.files):
            return folder
    return None


def extract(archive: Path, root: Path, source: Source) -> Path:
    """Write the files of ``source``, and no others, from its archive to their folder; return the folder.

    The archive must have the published md5 sum; the files are verified where they are read. Paths inside the archive
    are compared with the names we know and never used, so nothing can be written elsewhere. Each file appears whole
    or not at all.
    """
    folder = root / source.folder
    try:
        folder.mkdir(exist_ok=True)
        with FileLock(root / f".{source.folder}.lock"):
            if _folder(root, source) is not None:  # another process was faster
                return folder
            _check_archive(archive, source)
            with tarfile.open(archive, "r:gz") as tar:
                for member in tar:
                    name = member.name.removeprefix(f"{source.folder}/")
                    content = tar.extractfile(member) if member.isreg() and name in source.files else None
                    if content is not None:
                        write_atomically(folder / name, content.read())
    except OSError as error:
        raise DataError(f"{archive} could not be extracted to {folder}: {error}") from None
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(f"{archive} is no whole archive: {error}") from None
    missing = [name for name in source.files if not (folder / name).is_file()]
    if missing:
        raise DataError(f"{archive} lacks {', '.join(missing)}")
    return folder


def _check_archive(archive: Path, source: Source) -> None:
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    expected = source.remote[0].md5
    if found != expected:
        raise DataError(f"{archive} has md5 {found}, expected {expected}: delete it and fetch it again")
