"""What stands beside the effects of a study: declarations, seeds, what is missing, what diverged."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from effect_factories import Outcomes, cell_of, declare, effects_by, study_of, table_of
from factories import make_record

from bnn_ablate.report.effects.values import StudyEffects
from bnn_ablate.report.tables import make_table
from bnn_ablate.study import Study

PAIR = {"scaling=none": [5, 6, 7], "scaling=xnor": [6, 8, 8]}


def effects_of(cells: Mapping[str, Outcomes], study: Study | None = None) -> StudyEffects:
    effects = effects_by(table_of(cells), study)
    assert effects is not None
    return effects


def notes_of(cells: Mapping[str, Outcomes], study: Study | None = None) -> tuple[str, ...]:
    return effects_of(cells, study).notes


def test_what_was_declared_before_the_first_result_is_told() -> None:
    declared = declare({"scaling": "none"}, margin=2.5)
    effects = effects_of(PAIR, study_of(declared))
    assert effects.declared == declared.digest
    assert (effects.margin, effects.planned) == (2.5, 3)
    assert effects.notes[0] == (
        f"Declared ({declared.digest}) before the first result: effects start from scaling=none, 2.5 points count as "
        "equal, 3 seeds (0, 1, 2)."
    )


@pytest.mark.parametrize("study", [None, study_of()])
def test_a_study_that_declared_nothing_says_so(study: Study | None) -> None:
    effects = effects_of(PAIR, study)
    assert (effects.declared, effects.planned, effects.margin) == (None, None, 0.5)
    assert effects.notes[0].startswith("Nothing was declared before the runs: effects start from scaling=none, ")


def test_a_declaration_that_came_after_results_does_not_count_as_one_before() -> None:
    effects = effects_of(PAIR, study_of(declare(done=4)))
    assert effects.declared is None
    assert effects.margin == 5.0  # it still says what is asked
    assert "when 4 of its runs were done already" in effects.notes[0]


def test_a_second_declaration_is_told_and_changes_nothing() -> None:
    first, second = declare({"scaling": "none"}), declare({"scaling": "xnor"}, margin=9.0, seeds=(0, 1), done=1)
    effects = effects_of(PAIR, study_of(first, second))
    assert (effects.baseline, effects.margin) == ({"scaling": "none"}, 5.0)
    assert effects.notes[1] == (
        f"Declared again ({second.digest}) when 1 of its runs was done already, so that results could have shaped the "
        "question: a margin of 9, a baseline of scaling=xnor, 2 seeds (0, 1). The first declaration counts."
    )


def test_declared_options_that_the_table_does_not_have_are_told() -> None:
    notes = notes_of(PAIR, study_of(declare({"scaling": "learned", "order": "post", "shortcut": "none"})))
    assert "The declared baseline scaling=learned is not in this table." in notes
    assert "The declared baseline shortcut=none is not in this table." in notes
    assert not any("order=post is not" in note for note in notes)  # which all of its runs have


def test_seeds_that_were_not_declared_are_used_and_marked() -> None:
    effects = effects_of({"scaling=none": [5, 6, 7, 8, 8], "scaling=xnor": [6, 8, 8, 9, 9]}, study_of(declare()))
    assert effects.simple[0].estimate.n == 5
    assert effects.simple[0].added_seeds == (3, 4)
    assert any(note.startswith("Seeds 3, 4 were not declared (+ behind n)") for note in effects.notes)
    assert effects_of(PAIR, study_of(declare())).simple[0].added_seeds == ()


def test_uneven_numbers_of_runs_are_told() -> None:
    notes = notes_of({"scaling=none": [5, 6, 7], "scaling=xnor": [6, None, 8]})
    assert any(note.startswith("Cells have 2 to 3 runs: ") for note in notes)
    assert not any(note.startswith("Cells have") for note in notes_of(PAIR))


def test_cells_without_a_result_are_named_with_the_effects_that_they_cost() -> None:
    cells = {**PAIR, "scaling=learned": ["failed", "failed", "failed"], "scaling=channel": [None, None, None]}
    notes = notes_of(cells)
    assert "No result (failed): scaling=learned." in notes
    assert "No result (missing): scaling=channel." in notes
    assert "Not estimated for want of a result: scaling=learned, scaling=channel." in notes


def test_without_the_baseline_s_results_there_is_no_simple_effect() -> None:
    effects = effects_of({"scaling=none": ["failed"], "scaling=xnor": [6], "scaling=learned": [7]})
    assert effects.simple == ()
    assert "The baseline has no result: no simple effect can be estimated." in effects.notes


def test_a_study_without_a_cell_at_the_baseline_says_so() -> None:
    cells = {"scaling=none grad=approxsign": [5, 6], "scaling=xnor grad=ste": [6, 7]}
    effects = effects_of(cells, study_of(declare({"scaling": "none", "grad": "ste"})))
    assert effects.simple == ()
    assert "No cell is the baseline, scaling=none, grad=ste: there is no simple effect." in effects.notes


def test_cells_that_change_several_axes_at_once_are_in_no_effect_where_the_single_changes_are_not_there() -> None:
    effects = effects_of({"scaling=none grad=ste": [5, 6], "scaling=xnor grad=approxsign": [6, 7]})
    assert effects.simple == ()
    assert "1 cell differs from the baseline on several axes at once: in no effect." in effects.notes


def test_cells_that_share_no_seed_are_not_compared() -> None:
    effects = effects_of({"scaling=none": [5, 6, None, None], "scaling=xnor": [None, None, 8, 9]})
    assert effects.simple == ()
    assert "Not estimated, because no chain of shared seeds connects the two: scaling=xnor." in effects.notes


def test_an_option_that_diverges_more_is_compared_by_its_survivors() -> None:
    effects = effects_of({"scaling=none": [5, 6, 7, 6], "scaling=xnor": [6, "diverged", 8, "diverged"]})
    assert effects.simple[0].remarks == ("among survivors (0 diverged before, 2 after)",)
    told = "Diverged: 0 of 4 with scaling=none, 2 of 4 with scaling=xnor. Effects compare the survivors."
    assert told in effects.notes
    even = effects_of({"scaling=none": [5, 6, 7, "diverged"], "scaling=xnor": [6, 7, 8, "diverged"]})
    assert even.simple[0].remarks == ()
    assert not any(note.startswith("Diverged") for note in even.notes)


def test_one_seed_says_that_nothing_repeats() -> None:
    note = "Nothing repeats, so that chance cannot be told from effect: no interval and no finding."
    assert note in notes_of({"scaling=none": [5], "scaling=xnor": [6]})
    assert note not in notes_of(PAIR)


def test_a_cell_that_spreads_far_more_than_the_others_is_named() -> None:
    even: dict[str, Outcomes] = {
        f"scaling={scaling} grad={grad}": [5, 5, 6, 5, 6, 5]
        for scaling in ("none", "xnor", "learned")
        for grad in ("ste", "approxsign")
    }
    wild = {**even, "scaling=learned grad=ste": [0, 10, 0, 10, 1, 9]}
    (note,) = (note for note in notes_of(wild) if note.startswith("The spread is uneven: "))
    assert note.startswith("The spread is uneven: scaling=learned grad=ste ")
    assert note.endswith("so that each effect is estimated from its own cells alone.")


def test_rows_of_the_same_options_count_once() -> None:
    """Two cells that no column tells apart: the labels of a study without configurations."""
    cells = [cell_of("scaling=none", [5, 6]), cell_of("scaling=xnor", [6, 7]), cell_of("scaling=xnor", [7, 9])]
    effects = effects_by(make_table("s", cells), None)
    assert effects is not None
    assert effects.simple[0].estimate.value == pytest.approx(10.0)
    assert "1 cell with the options of an earlier one: in no effect." in effects.notes


def test_two_records_of_one_cell_and_seed_count_once() -> None:
    twice = [make_record(seed=0, correct=5), make_record(seed=0, correct=9), make_record(seed=1, correct=6)]
    effects = effects_of({"scaling=none": twice, "scaling=xnor": [6, 7]})
    assert effects.simple[0].estimate.value == pytest.approx(10.0)


def test_the_families_of_holm_are_told_with_their_sizes() -> None:
    cells = {f"scaling={a} grad={b}": [5, 6, 8 if a == "none" else 7] for a in ("none", "xnor") for b in ("ste", "ede")}
    assert "Holm adjusts p within families: 2 simple effects; 2 main effects; 1 interaction." in notes_of(cells)
    assert not any(note.startswith("Holm") for note in notes_of({"scaling=none": [5], "scaling=xnor": [6]}))


@pytest.mark.parametrize("data", [{"name": "digits"}, {"name": "synthetic"}, {"name": "cifar10", "limit_test": 100}])
def test_a_smoke_test_is_told_before_the_findings(data: dict[str, str | int]) -> None:
    effects = effects_by(table_of(PAIR, data=data), None)
    assert effects is not None
    (warning,) = effects.warnings
    assert warning.startswith(f"A smoke test, data={data['name']}: ")
    assert effects.simple[0].finding != "no interval"  # they are numbers about these images all the same


def test_a_whole_test_set_is_no_smoke_test() -> None:
    effects = effects_by(table_of(PAIR, data={"name": "cifar10"}), None)
    assert effects is not None
    assert effects.warnings == ()
