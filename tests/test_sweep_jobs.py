"""Jobs of a sweep are composed once, checked, named, and labelled by what differs."""

from __future__ import annotations

import pytest
from conftest import CONF, composed

from bnn_ablate.identity import ids_of
from bnn_ablate.job import settings_of
from bnn_ablate.sweep.expand import grid
from bnn_ablate.sweep.jobs import float_networks, labels_of
from bnn_ablate.sweep.jobs import sweep_jobs as jobs_of


def sweep_jobs(overrides, compose):
    return jobs_of(overrides, compose, [CONF])


class Composer:
    """Hydra, and what it was asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []

    def __call__(self, overrides):
        self.calls.append(tuple(overrides))
        return composed(*overrides, hydra=True)


@pytest.fixture
def compose() -> Composer:
    return Composer()


def test_a_job_has_the_settings_and_ids_of_its_own_command_line(compose, make_settings):
    asked = [("grad=ste", "seed=0"), ("grad=ede", "seed=7"), ("grad=ste", "seed=7")]
    found = sweep_jobs(asked, compose)
    assert [job.settings for job in found.jobs] == [settings_of(composed(*one)) for one in asked]
    assert [job.run_id for job in found.jobs] == [ids_of(settings_of(composed(*one))).run_id for one in asked]
    assert [job.label for job in found.jobs] == ["grad=ste seed=0", "grad=ede seed=7", "grad=ste seed=7"]
    assert (found.refused, found.repeated) == ((), 0)


def test_seeds_of_a_cell_are_composed_once(compose):
    found = sweep_jobs([(f"grad={grad}", f"seed={seed}") for grad in ("ste", "ede") for seed in range(3)], compose)
    assert compose.calls == [("grad=ste",), ("grad=ede",)]
    assert [job.settings.seed for job in found.jobs] == [0, 1, 2, 0, 1, 2]


def test_a_seed_is_checked_like_any_setting(compose):
    found = sweep_jobs([("seed=-1",), ("seed=x",), ("seed=1",)], compose)
    assert [job.settings.seed for job in found.jobs] == [1]
    assert [refused.label for refused in found.refused] == ["seed=-1", "seed=x"]
    assert all("seed=" in refused.reason for refused in found.refused)


def test_a_seed_that_is_no_plain_number_is_read_by_hydra(compose):
    found = sweep_jobs([("seed=0x10",), ("seed=010",), ("seed=${trainer.threads}",), ("seed=7",)], compose)
    assert [job.settings for job in found.jobs] == [
        settings_of(composed(one)) for one in ("seed=${trainer.threads}", "seed=7")
    ]
    assert [refused.label for refused in found.refused] == ["seed=0x10", "seed=010"]


def test_what_is_made_from_the_seed_is_another_value_for_each_seed(compose):
    for reference in ("${seed}", "${oc.select:seed}", "${..seed}"):
        found = sweep_jobs([(f"data.seed={reference}", f"seed={seed}") for seed in (3, 4)], compose)
        assert [job.settings.data.seed for job in found.jobs] == [3, 4]


def test_a_combination_that_makes_no_sense_is_refused_alone(compose):
    found = sweep_jobs([("grad=ste", "grad.clip=1.3"), ("grad=approxsign", "grad.clip=1.3")], compose)
    assert [job.label for job in found.jobs] == ["grad=ste"]
    (refused,) = found.refused
    assert refused.label == "grad=approxsign"
    assert "grad.clip=1.3 does nothing with grad=approxsign" in refused.reason


def test_two_spellings_of_one_run_are_one_job(compose):
    found = sweep_jobs([("model.width=1",), ("model.width=1.0",), ("trainer.threads=2",)], compose)
    assert len(found.jobs) == 1
    assert found.repeated == 2


def test_float_networks_are_found_once_for_all_that_start_from_them(compose):
    asked = [
        (f"pretrain={pretrain}", f"grad={grad}", "seed=0") for pretrain in ("none", "clip") for grad in ("ste", "ede")
    ]
    found = sweep_jobs(asked, compose)
    (first,) = float_networks(found.jobs)
    assert [job.needs for job in found.jobs] == [None, None, first.run_id, first.run_id]
    assert first.settings.design.activations.function == "clip"
    assert first.settings.design.pretrain.name == "none"
    assert first.needs is None
    assert [job.job_type for job in (first, *found.jobs)] == ["pretrain", "train", "train", "train", "train"]


def test_a_float_network_that_the_sweep_asks_for_itself_is_no_second_job(compose):
    twin = ("weights=float", "activations=float", "activations.function=clip", "padding=zero")
    found = sweep_jobs([("pretrain=clip",), twin], compose)
    assert found.jobs[0].needs == found.jobs[1].run_id
    assert float_networks(found.jobs) == []


def test_labels_say_what_differs_and_nothing_else():
    asked = [("data=digits", "grad=ste", "seed=0", "runs=x"), ("data=digits", "grad=ste", "seed=1", "runs=x")]
    assert labels_of(asked) == ["seed=0", "seed=1"]
    assert labels_of([("grad=ste",), ("grad=ste", "scaling=xnor")]) == ["baseline", "scaling=xnor"]
    assert labels_of([("grad=ste", "seed=0")]) == ["grad=ste seed=0"]
    assert labels_of([]) == []


def test_a_grid_of_the_command_line_is_named_run_by_run(compose):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    overrides = OverridesParser.create().parse_overrides(["scaling=none,channel", "seed=0,1"])
    assert len({job.run_id for job in sweep_jobs(grid(overrides), compose).jobs}) == 4
