"""Tables of runs as files for other programs: CSV, and Parquet where pyarrow is installed."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bnn_ablate.atomic import write_atomically
from bnn_ablate.runs.entries import RunsError
from bnn_ablate.runs.rows import NAMED, Column

ENDINGS = (".csv", ".parquet")


def check_target(path: Path) -> None:
    """Refuse a file that cannot be written, or would replace one that this command did not write. Raises RunsError."""
    if path.suffix not in ENDINGS:
        raise RunsError(f"{path} says no format by its ending: give a name with {' or '.join(ENDINGS)}")
    if not path.parent.is_dir():
        raise RunsError(f"{path} cannot be written: there is no folder {path.parent}")
    if path.suffix == ".parquet":
        _pyarrow(path)
    if path.exists() and not _is_ours(path):
        raise RunsError(f"{path} is there and is no table of this command: choose another name, or remove it yourself")


def write_table(path: Path, columns: Sequence[Column]) -> None:
    """Write the whole table or nothing. Raises RunsError."""
    content = to_csv(columns) if path.suffix == ".csv" else to_parquet(path, columns)
    try:
        write_atomically(path, content)
    except OSError as error:
        raise RunsError(f"{path} cannot be written: {error.strerror}") from None


def to_csv(columns: Sequence[Column]) -> bytes:
    """Numbers in full precision, truths as true and false, an empty field for what is missing."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(column.name for column in columns)
    for row in zip(*(column.values for column in columns), strict=True):
        writer.writerow(str(value).lower() if isinstance(value, bool) else value for value in row)
    return text.getvalue().encode()


def to_parquet(path: Path, columns: Sequence[Column]) -> bytes:
    """Each column of its own type, also where all its values are missing."""
    pa, pq = _pyarrow(path)
    types = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "text": pa.string()}
    arrays = [pa.array(column.values, types[column.kind]) for column in columns]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, names=[column.name for column in columns]), buffer)
    return buffer.getvalue()


def _is_ours(path: Path) -> bool:
    """Whether it begins with the columns of our tables."""
    try:
        if path.suffix == ".csv":
            with path.open(newline="") as file:
                return tuple(next(csv.reader(file), ()))[: len(NAMED)] == NAMED
        _, pq = _pyarrow(path)
        return tuple(pq.read_schema(path).names[: len(NAMED)]) == NAMED
    except (OSError, ValueError, csv.Error):  # pyarrow's own errors are ValueErrors
        return False


def _pyarrow(path: Path) -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise RunsError(
            f"{path} needs pyarrow: install it by pip install 'bnn_ablate[parquet]', or export to .csv"
        ) from None
    return pyarrow, pyarrow.parquet
