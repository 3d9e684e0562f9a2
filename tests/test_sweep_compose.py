"""Configurations composed part by part are those that Hydra composes."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from conftest import CONF
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from bnn_ablate.sweep.compose import composed


class Composer:
    """Hydra over a folder of options, counting."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls = 0

    def __call__(self, overrides):
        self.calls += 1
        with initialize_config_dir(str(self.folder), version_base="1.3"):
            return compose("config", list(overrides), return_hydra_config=True)

    def plain(self, overrides):
        with initialize_config_dir(str(self.folder), version_base="1.3"):
            return OmegaConf.to_container(compose("config", list(overrides)), resolve=False)


def grid(*axes: list[str]) -> list[tuple[str, ...]]:
    return list(product(*axes))


#: What a sweep may vary: separable axes, ones that bring others, values inside groups, subgroups, additions.
AXES = [
    [["model=resnet_e18", "model=binary_densenet28"], ["scaling=none", "scaling=channel", "scaling=xnor"]],
    [["data=digits"], ["trainer=cpu", "trainer=smoke"], ["init=glorot", "init=xavier", "init=he_fan_in"]],
    [["grad=ste", "grad=swishsign"], ["grad.clip=1.0", "grad.clip=1.3"]],
    [["recipe/optimizer=adam", "recipe/optimizer=sgd"], ["scaling=none", "scaling=learned", "scaling=xnor"]],
    [["pretrain=relu", "pretrain=clip"], ["+recipe@pretrain.recipe=quick", "+recipe@pretrain.recipe=larq"]],
]


@pytest.mark.parametrize("axes", AXES, ids=lambda axes: axes[0][0].split("=")[0] + "_" + axes[1][0].split("=")[0])
def test_a_grid_is_composed_as_hydra_composes_each_of_its_jobs(axes):
    jobs = grid(*axes)
    by_hydra = Composer(CONF)
    assert composed(jobs, by_hydra, [CONF]) == [by_hydra.plain(job) for job in jobs]


def test_one_factor_at_a_time_is_composed_as_hydra_composes_each_of_its_jobs():
    jobs = [
        ("data=digits", *change)
        for change in ((), ("trainer=smoke",), ("scaling=xnor",), ("scaling=channel",), ("scaling=learned",))
    ]
    by_hydra = Composer(CONF)
    assert composed(jobs, by_hydra, [CONF]) == [by_hydra.plain(job) for job in jobs]


def test_each_option_of_separable_axes_is_composed_once():
    hydra = Composer(CONF)
    jobs = grid(
        ["scaling=none", "scaling=channel", "scaling=xnor"],
        ["grad=ste", "grad=ede", "grad=approxsign"],
        ["init=glorot", "init=xavier"],
    )
    composed(jobs, hydra, [CONF])
    # the first job, two and two and one other options, and the last job to compare
    assert hydra.calls == 1 + 2 + 2 + 1 + 1


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


#: Three options each; the one in the middle is the odd one, which a look at the first and the last job does not see.
BASE = {
    "config.yaml": "defaults: [a: one, b: one, _self_]\n",
    "a/one.yaml": "x: 1\n",
    "a/two.yaml": "x: 2\n",
    "a/three.yaml": "x: 3\n",
    "b/one.yaml": "y: 1\n",
    "b/two.yaml": "y: ${a.x}\n",
    "b/three.yaml": "y: 3\n",
    "c/one.yaml": "z: 1\n",
    "c/two.yaml": "z: 2\n",
    "c/three.yaml": "z: 3\n",
    "d/set.yaml": "# @package _global_\na: {x: 9}\n",
    "d/free.yaml": "# @package _global_\n{}\n",
}
OPTIONS = ("one", "two", "three")
JOBS = grid([f"a={option}" for option in OPTIONS], [f"b={option}" for option in OPTIONS])
EXPERIMENTS = grid(["+d=free", "+d=set", "+d=free"], [f"a={option}" for option in OPTIONS], ["b=one", "b=two"])


@pytest.mark.parametrize(
    ("files", "jobs"),
    [
        ({}, JOBS),
        ({"config.yaml": "defaults:\n  - a: one\n  - b: one\n  - c: ${a}\n"}, JOBS),  # a choice that follows another
        ({"a/two.yaml": "# @package other\nx: 2\n"}, JOBS),
        ({"a/two.yaml": "# @package _global_\nb: {y: 5}\n"}, JOBS),
        ({"a/two.yaml": "defaults:\n  - /c@_global_.a.more: two\nx: 2\n"}, JOBS),
        ({"config.yaml": "defaults: [a: one, b: one, _self_]\nb: {y: 7}\n"}, JOBS),
        ({"config.yaml": "defaults: [_self_, a: one, b: one]\na: {w: 3}\n"}, JOBS),
        ({}, EXPERIMENTS),  # what is added sets something inside a group
        ({}, [(*job, "a.x=5") if number == 4 else job for number, job in enumerate(JOBS)]),
        (
            {"config.yaml": "defaults: [a: one, b: one, c@e: one, _self_]\n"},
            grid(["c@e=one", "c@e=two"], ["b=one", "b=two"]),
        ),
    ],
    ids=["plain", "interpolated", "package", "global", "brings", "self_last", "self_first", "added", "inside", "at"],
)
def test_whatever_ties_options_together_is_found(files, jobs, tmp_path):
    folder = write(tmp_path, {**BASE, **files})
    hydra = Composer(folder)
    assert composed(jobs, hydra, [folder]) == [hydra.plain(job) for job in jobs]


def test_one_job_and_none_are_composed_too():
    hydra = Composer(CONF)
    assert composed([("grad=ede",)], hydra, [CONF]) == [hydra.plain(("grad=ede",))]
    assert composed([], hydra, [CONF]) == []
