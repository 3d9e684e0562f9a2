"""Which nodes become one step: what a convolution's sums go through on their way out, and who needs what as floats."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from packed_graphs import Draft, graphs

from bnn_ablate.packed.fuse import Fused, Fusion
from bnn_ablate.packed.graph import AbsMean, Add, Concat, Graph, Multiply

SIGNS = np.zeros((20, 20, 1, 1), bool)


def draft() -> tuple[Draft, str]:
    """20 channels of 4 x 4 pixels from a convolution."""
    d = Draft((3, 4, 4))
    return d, d.conv("image", np.ones((20, 3, 1, 1), np.float32))


def steps(graph: Graph) -> list[list[str]]:
    """The nodes of each step, the image's own left out."""
    return [[node.name for node in step.nodes] for step in Fusion(graph).steps if step.nodes]


def step_of(graph: Graph, name: str) -> Fused:
    (found,) = (step for step in Fusion(graph).steps if any(node.name == name for node in step.nodes))
    return found


def test_a_block_is_one_step():
    d, x = draft()
    conv = d.binary_conv(x, SIGNS)
    norm = d.affine(conv, 0.5, 1.0)
    clipped = d.activation(norm, "clip")
    total = d.add(Add, clipped, x)
    end = d.activation(total, "relu")
    mean = d.mean_of_all(end)
    assert steps(d.graph()) == [[x], [conv, norm, clipped, total, end], [mean]]
    step = step_of(d.graph(), total)
    assert (step.affine.name, step.function.name, step.plus, step.function2.name) == (norm, clipped, x, end)
    assert step.value == end


def test_a_factor_before_a_map_is_rounded_by_itself():
    d, x = draft()
    magnitude = d.add(AbsMean, x)
    conv = d.binary_conv(x, SIGNS)
    scale = d.affine(conv, 0.5, 0.0)
    spread = d.add(Multiply, scale, magnitude)
    norm = d.affine(spread, 2.0, 1.0)
    d.mean_of_all(norm)
    step = step_of(d.graph(), conv)
    assert [node.name for node in step.nodes] == [conv, scale, spread, norm]
    assert (step.alpha.name, step.times, step.affine.name) == (scale, magnitude, norm)


def test_a_shift_before_a_map_is_a_step_of_its_own():
    d, x = draft()
    shifted = d.affine(d.binary_conv(x, SIGNS), 0.5, 1.0)
    spread = d.add(Multiply, shifted, d.add(AbsMean, x))
    d.mean_of_all(spread)
    assert step_of(d.graph(), spread).reads == shifted


def test_what_somebody_else_reads_ends_a_step():
    d, x = draft()
    conv = d.binary_conv(x, SIGNS)
    norm = d.affine(conv, 0.5, 1.0)
    d.mean_of_all(d.add(Concat, norm, conv))
    graph = d.graph()
    assert [conv] in steps(graph)
    assert [norm] in steps(graph)


@pytest.mark.parametrize("seen", [True, False])
def test_an_affine_before_signs_is_a_threshold_and_no_step(seen: bool):
    d, x = draft()
    norm = d.affine(x, 0.5, 1.0)
    first, second = d.binary_conv(norm, SIGNS), d.binary_conv(norm, SIGNS)
    total = d.add(Add, d.add(Add, first, second), x if seen else norm)
    d.mean_of_all(total)
    fusion = Fusion(d.graph())
    computed = {node.name for step in fusion.steps for node in step.nodes}
    assert (norm not in computed) is seen
    assert [(signs.value, signs.affine is not None) for signs in fusion.signs] == [(x if seen else norm, seen)] * 2


def test_values_that_only_signs_are_read_of_are_not_kept_as_floats():
    d, x = draft()
    y = d.binary_conv(x, SIGNS)
    z = d.binary_conv(y, SIGNS)
    d.mean_of_all(z)
    floats = Fusion(d.graph()).with_floats()
    assert y not in floats
    assert x not in floats
    assert z in floats


def test_parts_of_a_concatenation_are_written_in_place_once():
    d, x = draft()
    y = d.binary_conv(x, SIGNS)
    one = d.add(Concat, x, y)
    two = d.add(Concat, one, y, "image", x)
    d.mean_of_all(two)
    fusion = Fusion(d.graph())
    # the last place of a value is its own; before it stand copies, and the image is always copied
    assert fusion.parts[two][:2] == (one, y) or fusion.parts[two][0] == one
    assert fusion.parts[two][2] != "image"
    assert fusion.layouts[two] == (20, 20, 20, 3, 20)
    leaves = fusion.leaves(two)
    assert len(set(leaves)) == len(leaves) == 5


@settings(max_examples=200, deadline=None)
@given(graphs())
def test_every_node_is_computed_once_after_what_it_reads(graph: Graph):
    fusion = Fusion(graph)
    done: set[str] = {"image"}
    counts: dict[str, int] = {}
    signs = {id(found.conv): found for found in fusion.signs}

    def there(value: str) -> bool:
        return all(leaf in done for leaf in fusion.leaves(value))

    for step in fusion.steps:
        read: list[Any] = [step.plus, step.times]
        read.append(signs[id(step.anchor)].value if id(step.anchor) in signs else step.reads)
        assert all(value is None or there(value) for value in read)
        for node in step.nodes:
            counts[node.name] = counts.get(node.name, 0) + 1
        done.add(step.value)
    assert all(count == 1 for count in counts.values())
    looked_through = {
        found.name for step in fusion.steps for found in (step.before, step.before_function) if found is not None
    } | {found.affine.name for found in fusion.signs if found.affine is not None}
    missing = {node.name for node in graph.nodes if not isinstance(node, Concat)} - set(counts)
    assert missing <= looked_through
    assert there(graph.output)
