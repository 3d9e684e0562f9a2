"""Which links the page has: relative paths and addresses of the web, because a record can hold anything."""

from __future__ import annotations

import re
from urllib.parse import quote

#: ``https://HOST...``, without white space and control characters; http as well, as a W&B server of one's own has it.
_WEB = re.compile(r"https?://[^\s/?#\x00-\x1f\x7f]+[^\s\x00-\x1f\x7f]*", re.ASCII)
#: A path that a browser cannot take for a scheme (``javascript:``), a host (``//host``) or the root of a disk.
_RELATIVE = re.compile(r"(?![/\\])[^:\\\x00-\x1f\x7f]+(/[^\\\x00-\x1f\x7f]*)?")


def safe_link(link: str | None) -> str | None:
    """``link`` if it may stand in the page, None otherwise: then its text stays, and leads nowhere."""
    if link is None:
        return None
    matched = _WEB.fullmatch(link) or _RELATIVE.fullmatch(link)
    return link if matched is not None and link.strip() == link else None


def file_link(folder: str, name: str, ending: str) -> str:
    """The file of a table or figure, seen from the page."""
    return f"{folder}/{quote(name, safe='')}.{ending}"
