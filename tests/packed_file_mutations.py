"""Random changes of packed files, for the tests and tests/fuzz: of bytes, and of structure with checksums that fit."""

from __future__ import annotations

import copy
import json
from random import Random
from typing import Any

from packed_file_factories import Parts, assembled, spelled

#: What may stand in place of any JSON value.
VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    7,
    8,
    2**16,
    2**28,
    2**31,
    2**63,
    10**18,
    -(10**18),
    0.0,
    -0.0,
    1.0,
    0.5,
    1e300,
    "",
    "image",
    "sign",
    "max",
    "mean",
    "inside",
    "fc.weight",
    "fc.bias",
    "norm.scale",
    "F32",
    "U8",
    "F64",
    "Affine",
    "Concat",
    "é",
    "a\nb",
    "\ud800",
    "x" * 300,
    [],
    {},
    [1, 1],
    [1, 1, 1, 1],
    [2**20, 2**20, 2**20],
    [[]] * 5,
)
#: What may stand in place of a number's or a string's text, and JSON's library would not write.
TEXTS = ("NaN", "Infinity", "-Infinity", "1e999", "9" * 30, "9" * 5000, "01", "1.", '"\\ud800"', "[" * 3000, "{}}", "")


def mutated(content: bytes, others: list[bytes], random: Random) -> bytes:
    """``content`` changed in one of many ways, one to three times; ``others`` are files to splice from."""
    if random.random() < 0.3:
        for _ in range(random.randint(1, 3)):
            content = _bytes_changed(content, others, random)
        return content
    parts = Parts.of(content)
    for _ in range(random.randint(1, 3)):
        _structure_changed(parts, Parts.of(random.choice(others)), random)
    if random.random() < 0.95:
        parts.sealed()
    if random.random() < 0.1:
        return _text_changed(parts, random)
    return parts.content


def _bytes_changed(content: bytes, others: list[bytes], random: Random) -> bytes:
    position = random.randrange(len(content) + 1)
    length = random.choice((1, 1, 2, 4, 8, 100))
    way = random.randrange(8)
    if way == 0 and position < len(content):  # one bit
        changed = content[position] ^ (1 << random.randrange(8))
        return content[:position] + bytes([changed]) + content[position + 1 :]
    if way == 1:
        return content[:position]
    if way == 2:
        return content[:position] + random.randbytes(length) + content[position:]
    if way == 3:
        return content[:position] + content[position + length :]
    if way == 4:
        return content[:position] + random.randbytes(length) + content[position + length :]
    if way == 5:
        other = random.choice(others)
        return content[:position] + other[random.randrange(len(other)) :]
    if way == 6:  # the header's length
        told = int.from_bytes(content[:8], "little") + random.choice((-8, -1, 1, 8, 2**20, 2**24, 2**63))
        return (told % 2**64).to_bytes(8, "little") + content[8:]
    start = random.randrange(len(content) + 1)
    return content[:position] + content[start : start + length] + content[position:]


def _structure_changed(parts: Parts, other: Parts, random: Random) -> None:
    way = random.randrange(10)
    if way < 6:
        parts.document = _value_changed(parts.document, other.document, random)
    elif way < 9:
        header = _value_changed(parts.header, other.header, random)
        if _is_header(header):
            parts.header = header
    elif parts.data:
        data = bytearray(parts.data)
        position = random.randrange(len(data))
        if random.random() < 0.5:  # a NaN, somewhere in the floats
            data[position // 4 * 4 : position // 4 * 4 + 4] = b"\x00\x00\xc0\x7f"
        else:
            data[position] = random.randrange(256)
        parts.data = bytes(data)


def _is_header(value: Any) -> bool:
    """Whether checksums can be made: each entry is said to be somewhere."""
    return isinstance(value, dict) and all(
        isinstance(entry, dict)
        and isinstance(entry.get("data_offsets"), list)
        and len(entry["data_offsets"]) == 2
        and all(type(offset) is int for offset in entry["data_offsets"])
        for entry in value.values()
    )


def _value_changed(value: Any, other: Any, random: Random) -> Any:
    """A copy of ``value`` in which one place, at any depth, is another value, gone, twice there, or from ``other``."""
    root = [copy.deepcopy(value)]
    container, key = random.choice(list(_places(root)))
    old = container[key]
    way = random.randrange(8)
    if way == 0 and container is not root:
        del container[key]
    elif way == 1 and isinstance(container, list) and container is not root:
        container.insert(random.randrange(len(container) + 1), copy.deepcopy(random.choice(container)))
    elif way == 2 and isinstance(container, dict):
        container[random.choice(("other", "name", "shape", "", f"{key}.signs"))] = copy.deepcopy(old)
    elif way == 3 and isinstance(container, dict):  # renamed
        del container[key]
        container[random.choice(("floats", "signs", "weight", "x", str(random.choice(VALUES))[:9]))] = old
    elif way == 4:
        source, from_key = random.choice(list(_places([copy.deepcopy(random.choice((other, value)))])))
        container[key] = source[from_key]
    elif way == 5 and type(old) in (int, float):
        container[key] = old + random.choice((-8, -4, -1, 1, 4, 8, 2**31))
    elif way == 6 and isinstance(container, list) and container is not root:
        random.shuffle(container)
    else:
        container[key] = copy.deepcopy(random.choice(VALUES))
    return root[0]


def _places(container: Any) -> Any:
    """Every (container, key or index) below ``container``."""
    items = container.items() if isinstance(container, dict) else enumerate(container)
    for key, value in list(items):
        yield container, key
        if isinstance(value, dict | list):
            yield from _places(value)


def _text_changed(parts: Parts, random: Random) -> bytes:
    """With a text in the JSON that no JSON library writes: a duplicate key, NaN, thousands of digits or brackets."""
    document = spelled(parts.document)
    if random.random() < 0.7:
        document = _replaced(document, random)
    header = json.dumps({"__metadata__": {"bnn_ablate": document}, **parts.header})
    if random.random() < 0.3:
        header = _replaced(header, random)
    return assembled(header, parts.data)


def _replaced(text: str, random: Random) -> str:
    if random.random() < 0.2:
        return text.replace("{", '{"shape":1,"shape":2,', 1)
    ends = [position for position, character in enumerate(text) if character in ",]}"]
    starts = [position for position, character in enumerate(text) if character in ":[,"]
    if not ends or not starts:
        return text
    start = random.choice(starts) + 1
    end = next((position for position in ends if position >= start), len(text))
    return text[:start] + random.choice(TEXTS) + text[end:]
