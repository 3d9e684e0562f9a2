"""The container of a packed file, safetensors, read without trusting it.

The bytes: the header's length (8, little endian), the header (JSON: for every tensor its dtype, shape and place), the
tensors one after the other. Read by own code, because the format's library does not say in a sentence what is wrong,
takes headers of 100 MB, and leaves to its callers what a reader of untrusted bytes must ask: whether a size is
plausible before memory is taken for it, which of two equal keys holds, how deep JSON may nest.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, BinaryIO

#: Bytes. Headers of the field's networks are of some 50 kB, their files of a few MB.
MAX_HEADER, MAX_FILE = 2**24, 2**32
#: Characters of a name, digits of an integer.
MAX_NAME, MAX_DIGITS = 256, 19
#: Bytes a value, of the dtypes that packed files have.
DTYPES = {"U8": 1, "F32": 4}


class Refused(ValueError):  # noqa: N818 - it is told as PackedFileError
    """Why a file is not read: the rest of a sentence that begins with its name."""


@dataclass(frozen=True)
class Tensor:
    """``content`` are the bytes of a tensor of ``shape``; there are as many as dtype and shape ask for."""

    dtype: str
    shape: tuple[int, ...]
    content: memoryview


def read_container(file: BinaryIO, size: int) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors of a safetensors file of ``size`` bytes; every byte of it belongs to one of them.

    Raises Refused.
    """
    if size > MAX_FILE:
        raise Refused(f"has {size} bytes: at most {MAX_FILE} are read")
    if size < 8:
        raise Refused(f"is truncated: the length of a header takes 8 bytes, and {size} are there")
    length = int.from_bytes(_exactly(file, 8), "little")
    if length > MAX_HEADER:
        raise Refused(f"is no packed file, or damaged: its header would have {length} bytes, and at most {MAX_HEADER}")
    if length > size - 8:
        raise Refused(f"is truncated: its header has {length} bytes, and {size - 8} are there")
    try:
        text = _exactly(file, length).decode()
    except UnicodeDecodeError:
        raise Refused("is no packed file, or damaged: its header is no UTF-8") from None
    header = fields(strict_json(text, "its header"), None, "its header")
    metadata = fields(header.pop("__metadata__", {}), None, "its metadata")
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise Refused(f"is damaged: {shown(key)} in its metadata is {shown(value)} and must be text")
    places = {name: _place(name, entry) for name, entry in header.items()}
    data_size = size - 8 - length
    _check_gapless(places, data_size)
    data = memoryview(_exactly(file, data_size))
    return metadata, {name: Tensor(dtype, shape, data[a:b]) for name, (dtype, shape, a, b) in places.items()}


def _exactly(file: BinaryIO, count: int) -> bytes:
    content = file.read(count)
    if len(content) != count:
        raise Refused("became shorter while it was read")
    return content


def _place(name: str, entry: Any) -> tuple[str, tuple[int, ...], int, int]:
    """dtype, shape, and where its bytes begin and end behind the header."""
    what = f"tensor {printable(name, 'the name of a tensor')}"
    fields(entry, ("dtype", "shape", "data_offsets"), what)
    dtype = choice(entry["dtype"], tuple(DTYPES), f"dtype of {what}")
    shape = integers(entry["shape"], None, f"shape of {what}")
    begin, end = integers(entry["data_offsets"], 2, f"data_offsets of {what}")
    # Python's integers do not overflow
    count = math.prod(shape) * DTYPES[dtype]
    if min(shape, default=0) < 1:
        raise Refused(f"is damaged: {what} has the shape {shown(list(shape))}, which holds no value")
    if end - begin != count:
        raise Refused(
            f"is damaged: {what} takes {count} bytes as {dtype} of shape {shown(list(shape))}, and has {end - begin}"
        )
    return dtype, shape, begin, end


def _check_gapless(places: dict[str, tuple[str, tuple[int, ...], int, int]], size: int) -> None:
    """Tensors follow one another without gap or overlap and fill ``size`` bytes."""
    end_before, before = 0, ""
    for name, (_, _, begin, end) in sorted(places.items(), key=lambda item: item[1][2:]):
        if begin < end_before:
            where = f"overlaps tensor {before}" if before else "begins before the first byte"
            raise Refused(f"is damaged: tensor {name} {where}")
        if begin > end_before:
            raise Refused(f"is damaged: before tensor {name} there are {begin - end_before} bytes of no tensor")
        end_before, before = end, name
    if end_before > size:
        raise Refused(f"is truncated: its tensors have {end_before} bytes, and {size} are there")
    if end_before < size:
        raise Refused(f"is damaged: {size - end_before} bytes follow its last tensor")


def strict_json(text: str, what: str) -> Any:
    """The value of a JSON text without duplicate keys, NaN, infinities and huge integers."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise Refused(f"is damaged: {what} has {shown(twice)} twice in one object")
        return found

    def whole(digits: str) -> int:
        # so that neither a billion digits are converted nor numbers reach numpy that it cannot hold
        if len(digits) > MAX_DIGITS:
            raise Refused(f"is damaged: {what} holds an integer of {len(digits)} characters, at most {MAX_DIGITS}")
        return int(digits)

    def finite(digits: str) -> float:
        if not math.isfinite(float(digits)):
            raise Refused(f"is damaged: {what} holds {digits[:MAX_DIGITS]}, and numbers must be finite")
        return float(digits)

    try:
        return json.loads(text, object_pairs_hook=once, parse_int=whole, parse_float=finite, parse_constant=finite)
    except Refused:
        raise
    except RecursionError:
        raise Refused(f"is damaged: {what} is JSON nested too deeply") from None
    except ValueError as error:
        raise Refused(f"is no packed file, or damaged: {what} is no JSON: {error}") from None


def shown(value: Any) -> str:
    """A foreign value for a message: short, in printable characters, whatever it is."""
    if isinstance(value, dict | list) and len(value) > 8:
        return f"a {type(value).__name__} of {len(value)}"
    text = ascii(value[:61] if isinstance(value, str) else value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def fields(value: Any, names: Collection[str] | None, what: str) -> dict[str, Any]:
    """``value``, which must be an object with exactly the fields ``names`` (None: any)."""
    if not isinstance(value, dict):
        raise Refused(f"is invalid: {what} is {shown(value)} and must be an object")
    if names is not None:
        for name in names:
            if name not in value:
                raise Refused(f"is invalid: {what} has no field {name}")
        for name in value:
            if name not in names:
                raise Refused(
                    f"is invalid: {what} has the unknown field {shown(name)}; known: {', '.join(names) or 'none'}"
                )
    return value


def integers(value: Any, count: int | None, what: str) -> tuple[int, ...]:
    """``value``, which must be a list of ``count`` integers (None: one to eight)."""
    if (
        not isinstance(value, list)
        or not all(type(item) is int for item in value)
        or (not 1 <= len(value) <= 8 if count is None else len(value) != count)
    ):
        raise Refused(f"is invalid: {what} is {shown(value)} and must be {count or '1 to 8'} whole numbers")
    return tuple(value)


def choice(value: Any, choices: tuple[Any, ...], what: str) -> Any:
    """``value``, which must be one of ``choices`` and of its type: True is not 1."""
    for known in choices:
        if type(value) is type(known) and value == known:
            return known
    raise Refused(f"is invalid: {what} is {shown(value)} and must be one of {', '.join(map(str, choices))}")


def printable(value: Any, what: str) -> str:
    """``value``, which must be a name: printable ASCII, not too long."""
    if not (isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isascii() and value.isprintable()):
        raise Refused(f"is invalid: {what} is {shown(value)} and must be 1 to {MAX_NAME} printable ASCII characters")
    return value
