"""Where the report finds what people have written, and its own records: files of the checkout, as conf/ is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent.parent
#: Records of reference runs, committed.
RECORDS = CHECKOUT / "reports" / "records"


@dataclass(frozen=True, kw_only=True)
class Sources:
    """``claims`` is claims.yaml, ``declared`` the folder of declared tables, ``published`` that of others' figures."""

    claims: Path = CHECKOUT / "reports" / "claims.yaml"
    published: Path = CHECKOUT / "reports" / "published"
    declared: Path = CHECKOUT / "sweeps" / "tables"
    conf: Path = CHECKOUT / "conf"
