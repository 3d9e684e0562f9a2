"""Dataclasses as lines of CSV, for files that grow by a few lines an epoch."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import astuple, fields
from typing import Any


def csv_text(kind: type[Any], rows: Iterable[Any], *, header: bool) -> str:
    """``rows`` of the dataclass ``kind``; every digit is kept, a value that was not measured is an empty field."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    if header:
        writer.writerow([field.name for field in fields(kind)])
    writer.writerows(astuple(row) for row in rows)
    return buffer.getvalue()
