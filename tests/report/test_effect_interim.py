"""While declared seeds are still to come an effect is shown and nothing is found."""

from __future__ import annotations

from dataclasses import replace

import pytest
from effect_factories import Outcomes, declare, effects_by, run_without, study_of, table_of
from factories import make_record

from bnn_ablate.report.effects.values import StudyEffects
from bnn_ablate.report.runs import RunState
from bnn_ablate.report.tables import Table, make_table

#: Differences of 30 points that hardly spread.
FOUR: dict[str, Outcomes] = {"scaling=none": [4, 5, 5, 5], "scaling=xnor": [7, 8, 8, 9]}
WHY = "interim: some of the declared seeds are neither done nor lost"


def effects_of(table: Table, seeds: range | None) -> StudyEffects:
    study = None if seeds is None else study_of(declare({"scaling": "none"}, seeds=seeds))
    effects = effects_by(table, study)
    assert effects is not None
    return effects


def has_why(effects: StudyEffects) -> bool:
    return any(note.startswith(WHY) for note in effects.notes)


def test_an_effect_of_which_seeds_are_still_to_come_has_an_interval_and_no_finding() -> None:
    table = table_of({words: [*right, None, None] for words, right in FOUR.items()})
    effects = effects_of(table, range(6))
    (effect,) = effects.simple
    assert effect.finding == "interim, 4 of 6 seeds"
    assert effect.estimate.value == pytest.approx(32.5)
    assert effect.estimate.interval(0.95) is not None
    assert effect.p_holm is None
    assert has_why(effects)


def test_without_a_declaration_nothing_is_interim() -> None:
    effects = effects_of(table_of({words: [*right, None, None] for words, right in FOUR.items()}), None)
    assert effects.simple[0].finding == "relevant difference"
    assert not has_why(effects)


def test_seeds_that_nobody_planned_for_a_cell_are_still_to_come() -> None:
    assert effects_of(table_of(FOUR), range(8)).simple[0].finding == "interim, 4 of 8 seeds"


@pytest.mark.parametrize("state", ["failed", "diverged", "refused", "broken"])
def test_lost_runs_are_not_waited_for(state: RunState) -> None:
    table = table_of({**FOUR, "scaling=xnor": [7, 8, 8, state]})
    effects = effects_of(table, range(4))
    assert not effects.simple[0].finding.startswith("interim")
    assert not has_why(effects)


@pytest.mark.parametrize("state", ["running", "stopped", "trained", "missing"])
def test_runs_that_can_still_end_are_waited_for(state: RunState) -> None:
    table = table_of({**FOUR, "scaling=xnor": [7, 8, 8, state]})
    assert effects_of(table, range(4)).simple[0].finding == "interim, 3 of 4 seeds"


def test_a_broken_run_of_which_no_seed_can_be_read_is_lost() -> None:
    table = table_of({**FOUR, "scaling=xnor": [7, 8, 8]})
    nameless = replace(run_without(make_record(seed=3, scaling="xnor"), "broken"), seed=None)
    none, xnor = table.cells
    table = make_table("s", [none, replace(xnor, runs=(*xnor.runs, nameless))])
    assert not effects_of(table, range(4)).simple[0].finding.startswith("interim")


def test_an_effect_whose_own_seeds_are_all_there_is_found_and_the_interim_one_counts_in_its_family() -> None:
    effects = effects_of(table_of({**FOUR, "scaling=learned": [6, 6, 7, None]}), range(4))
    found, interim = effects.simple
    assert interim.finding == "interim, 3 of 4 seeds"
    assert found.finding == "relevant difference"
    assert found.p is not None
    assert interim.p is not None
    assert found.p < interim.p
    assert found.p_holm == pytest.approx(2 * found.p)
    assert "Holm adjusts p within families: 2 simple effects." in effects.notes


def test_seeds_beyond_the_declared_ones_are_not_waited_for() -> None:
    table = table_of({words: [*right, None] for words, right in FOUR.items()})
    assert effects_of(table, range(4)).simple[0].finding == "relevant difference"


def test_an_identity_check_stays_one() -> None:
    table = table_of({"scaling=none": [5, 6, None], "scaling=channel": [5, 7, None]}, order="post")
    assert effects_of(table, range(3)).simple[0].finding == "identity check"
