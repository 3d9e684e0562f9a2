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
    [
        ["model=resnet_e18", "model=binary_densenet28"],
        ["scaling=none", "scaling=channel"],
        ["init=glorot", "init=xavier"],
    ],
    [["data=digits", "data=cifar10"], ["recipe=quick", "recipe=larq"], ["grad=ste", "grad=approxsign"]],
    [["grad=ste", "grad=swishsign"], ["grad.clip=1.0", "grad.clip=1.3"]],
    [["recipe/optimizer=adam", "recipe/optimizer=sgd"], ["scaling=none", "scaling=learned"]],
    [["pretrain=none", "pretrain=clip"], ["+recipe@pretrain.recipe=quick"], ["weights=sign", "weights=float"]],
    [["stem=cifar", "stem=imagenet"], ["model.width=0.25", "model.width=0.5"], ["trainer=cpu", "trainer=smoke"]],
]


@pytest.mark.parametrize("axes", AXES, ids=lambda axes: axes[0][0].split("=")[0] + "_" + axes[1][0].split("=")[0])
def test_a_grid_is_composed_as_hydra_composes_each_of_its_jobs(axes):
    jobs = grid(*axes)
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


BASE = {
    "a/one.yaml": "x: 1\n",
    "a/two.yaml": "x: 2\n",
    "b/one.yaml": "y: 1\n",
    "b/two.yaml": "y: ${a.x}\n",
    "c/one.yaml": "z: 1\n",
    "c/two.yaml": "z: 2\n",
}
JOBS = grid(["a=one", "a=two"], ["b=one", "b=two"])


@pytest.mark.parametrize(
    "files",
    [
        {"config.yaml": "defaults: [a: one, b: one, _self_]\n"},
        {"config.yaml": "defaults:\n  - a: one\n  - b: one\n  - c: ${a}\n"},  # a choice that follows another
        {"config.yaml": "defaults: [a: one, b: one, _self_]\n", "a/two.yaml": "# @package other\nx: 2\n"},
        {
            "config.yaml": "defaults: [a: one, b: one, _self_]\nb: {y: 7}\n"
        },  # the primary configuration has the last word
        {"config.yaml": "defaults: [_self_, a: one, b: one]\na: {w: 3}\n"},
    ],
    ids=["plain", "interpolated", "package", "self_last", "self_first"],
)
def test_whatever_ties_options_together_is_composed_by_hydra(files, tmp_path):
    folder = write(tmp_path, {**BASE, **files})
    hydra = Composer(folder)
    assert composed(JOBS, hydra, [folder]) == [hydra.plain(job) for job in JOBS]


def test_one_job_and_none_are_composed_too():
    hydra = Composer(CONF)
    assert composed([("grad=ede",)], hydra, [CONF]) == [hydra.plain(("grad=ede",))]
    assert composed([], hydra, [CONF]) == []
