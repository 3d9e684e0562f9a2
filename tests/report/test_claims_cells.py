"""Which cells a contrast compares: those with its settings, that differ in nothing it leaves alone."""

from __future__ import annotations

from typing import Any

import pytest

from bnn_ablate.report.claims.cells import Candidate, best_context, find_matches
from bnn_ablate.report.claims.declared import Contrast

LEAVES = {"scaling": "none", "scaling.gradient": "false", "order": "post", "model.width": "0.25", "recipe.epochs": "6"}


def cell(size: float | None = None, macs: float | None = None, **changes: str) -> Candidate:
    leaves = {**LEAVES, **{key.replace("__", "."): text for key, text in changes.items()}}
    return Candidate(leaves=leaves, size=size, macs=macs)


def contrast(**changes: Any) -> Contrast:
    fields = {"before": {"scaling": "none"}, "after": {"scaling": "xnor"}, **changes}
    return Contrast(name="c", expects="gain", sweeps={}, **fields)


def weights(asked: Contrast, *cells: Candidate) -> list[tuple[tuple[int, int], ...]]:
    return [match.weights for match in find_matches(asked, {}, cells)]


def test_a_pair_differs_in_the_change_alone():
    xnor, other = cell(scaling="xnor"), cell(scaling="xnor", order="pre")
    assert weights(contrast(), cell(), xnor, other) == [((0, -1), (1, 1))]


def test_values_that_belong_to_the_changed_option_may_differ_and_others_may_not():
    assert weights(contrast(), cell(), cell(scaling="xnor", scaling__gradient="true"))
    assert not weights(contrast(same=["scaling.gradient"]), cell(), cell(scaling="xnor", scaling__gradient="true"))


def test_a_changed_value_frees_its_options_name_and_not_its_other_values():
    relu = contrast(before={"down.relu": "false"}, after={"down.relu": "true"})
    before = cell(down="a", down__relu="false", down__reduction="2")
    assert weights(relu, before, cell(down="b", down__relu="true", down__reduction="2"))
    assert not weights(relu, before, cell(down="b", down__relu="true", down__reduction="3"))
    free = contrast(before={"down.relu": "false"}, after={"down.relu": "true"}, free=["down.reduction"])
    assert weights(free, before, cell(down="b", down__relu="true", down__reduction="3"))


def test_both_cells_have_what_the_contrast_asks_of_both():
    cells = [cell(order=order, scaling=scaling) for order in ("post", "pre") for scaling in ("none", "xnor")]
    assert weights(contrast(at={"order": "pre"}), *cells) == [((2, -1), (3, 1))]
    assert find_matches(contrast(), {"weights": "sign"}, cells) == []


def test_an_interaction_takes_four_cells():
    cells = [cell(order=order, scaling=scaling) for order in ("post", "pre") for scaling in ("none", "xnor")]
    both = contrast(compared_at=[{"order": "post"}, {"order": "pre"}])
    assert weights(both, *cells) == [((0, 1), (1, -1), (2, -1), (3, 1))]
    assert weights(both, *cells[:3]) == []


def test_a_ratio_pairs_cells_by_value():
    double = contrast(before={}, after={}, ratio={"model.width": 2})
    cells = [cell(model__width=width) for width in ("0.25", "0.5", "1.0")]
    assert weights(double, *cells) == [((0, -1), (1, 1)), ((1, -1), (2, 1))]


@pytest.mark.parametrize(
    ("matched", "size", "macs", "pairs"), [("size", 102, 900, 1), ("size", 103, 100, 0), ("macs", 900, 101, 1)]
)
def test_matched_cells_are_equal_within_two_percent(matched, size, macs, pairs):
    cells = cell(size=100, macs=100), cell(size=size, macs=macs, scaling="xnor")
    assert len(weights(contrast(matched=matched), *cells)) == pairs


def test_cells_of_other_images_or_results_versions_are_never_compared():
    ours, theirs = {"data.checksum": "a"}, {"data.checksum": "b"}
    before = Candidate(leaves={**LEAVES, **ours})
    assert weights(contrast(), before, Candidate(leaves={**LEAVES, "scaling": "xnor", **ours}))
    assert not weights(contrast(), before, Candidate(leaves={**LEAVES, "scaling": "xnor", **theirs}))
    assert weights(contrast(), before, cell(scaling="xnor"))  # a failed run has no record that says it


def test_a_cell_of_which_nothing_is_known_is_in_no_contrast():
    assert weights(contrast(), Candidate(leaves={}), Candidate(leaves={})) == []


def test_numbers_are_compared_by_value():
    assert weights(contrast(at={"model.width": "0.250"}), cell(), cell(scaling="xnor"))


def test_other_settings_are_taken_at_the_baseline_or_as_near_as_there_is():
    cells = [cell(order=order, scaling=scaling) for order in ("post", "pre") for scaling in ("none", "xnor")]
    every = find_matches(contrast(), {}, cells)
    assert [match.cells for match in best_context(every, cells, {"order": "pre"})] == [(2, 3)]
    assert [match.cells for match in best_context(every, cells, {"order": "other"})] == [(0, 1)]
    assert best_context([], cells, {}) == []


def test_equal_epochs_count_those_of_the_float_network():
    equal = contrast(before={"pretrain": "relu"}, after={"pretrain": "none"}, equal_epochs=True)
    relu = cell(pretrain="relu", pretrain__recipe="null", recipe__epochs="20")
    longer = cell(pretrain="relu", pretrain__recipe__epochs="500", recipe__epochs="20")
    given = cell(pretrain="relu", pretrain__from="sha256:0", recipe__epochs="20")
    scratch = [cell(pretrain="none", recipe__epochs=epochs) for epochs in ("20", "40", "520")]
    assert weights(equal, relu, *scratch) == [((0, -1), (2, 1))]
    assert weights(equal, longer, *scratch) == [((0, -1), (3, 1))]
    assert weights(equal, given, *scratch) == []  # nobody knows how long a checkpoint was trained
