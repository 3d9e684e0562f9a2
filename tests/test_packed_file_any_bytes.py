"""Whatever bytes a packed file has, it is refused or it is a network: checked by hypothesis."""

from __future__ import annotations

import copy
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from packed_file_checks import assert_same, refusal
from packed_file_factories import ALL, SMALL, Parts
from packed_file_mutations import mutated

from bnn_ablate.packed.file import PackedFileError, graph_from_bytes, graph_to_bytes


def read_or_refused(content: bytes) -> None:
    """One of both, and what was read is a graph that can be written and is the same then."""
    try:
        graph = graph_from_bytes(content, "net")
    except PackedFileError:
        return
    assert_same(graph, graph_from_bytes(graph_to_bytes(graph), "net"))


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused(content: bytes) -> None:
    refusal(content)
    refusal(len(content).to_bytes(8, "little") + content)


@settings(deadline=None)
@given(st.integers(0, len(ALL) - 1), st.integers(1, 255))
def test_any_changed_byte_is_found(position: int, change: int) -> None:
    changed = bytearray(ALL)
    changed[position] ^= change
    refusal(bytes(changed))


@settings(deadline=None)
@given(st.integers(0, len(ALL)), st.binary(min_size=1, max_size=20))
def test_any_insertion_is_found(position: int, inserted: bytes) -> None:
    changed = ALL[:position] + inserted + ALL[position:]
    if changed != ALL:
        refusal(changed)


@settings(deadline=None)
@given(st.integers(0, len(ALL) - 1))
def test_any_truncation_is_found(length: int) -> None:
    refusal(ALL[:length])


@settings(max_examples=1000, deadline=None)
@given(st.integers(0, 2**64))
def test_mutations_of_structure_with_fitting_checksums_are_networks_or_refused(seed: int) -> None:
    random = Random(seed)
    read_or_refused(mutated(random.choice((SMALL, ALL)), [SMALL, ALL], random))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=300, deadline=None)
@given(JSON, st.data())
def test_any_json_in_any_place_of_the_document_is_refused_or_means_a_network(value: Any, data: st.DataObject) -> None:
    parts = Parts.of(SMALL)
    document = copy.deepcopy(parts.document)
    places: list[tuple[Any, Any]] = []

    def walk(inside: Any) -> None:
        for key, below in inside.items() if isinstance(inside, dict) else enumerate(inside):
            places.append((inside, key))
            if isinstance(below, dict | list):
                walk(below)

    walk(document)
    inside, key = data.draw(st.sampled_from(places))
    inside[key] = value
    parts.document = document
    read_or_refused(parts.sealed().content)
