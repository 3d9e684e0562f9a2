"""All cells of sweeps/ as Hydra itself composes them, and their networks, whose sizes some have to search for."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from sweep_files import NAMES, Asked, asked, cells_of, loader, put_images

from bnn_ablate.models import fit_sizes, shapes_of
from bnn_ablate.models.matching import Shape
from bnn_ablate.sweep.jobs import sweep_jobs
from bnn_ablate.sweep.sweeping import folders_of


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Asked]:
    """What a file's command asks, remembered."""
    images = put_images(tmp_path_factory.mktemp("images"))
    return cache(lambda name: asked(name, images))


@pytest.mark.parametrize("name", NAMES)
def test_all_cells_are_those_that_hydra_composes(name: str, command: Callable[[str], Asked]):
    one = command(name)
    by_hydra = sweep_jobs(one.first_seed, one.compose, folders_of(loader()))
    assert [(job.label, job.ids) for job in by_hydra.jobs] == [(job.label, job.ids) for job in cells_of(name, one).jobs]
    assert by_hydra.refused == ()


@pytest.mark.parametrize("name", NAMES)
def test_every_network_has_sizes_that_can_be_built(name: str, command: Callable[[str], Asked]):
    for job in cells_of(name, command(name)).jobs:
        shapes = shapes_of(job.settings)
        fitted = fit_sizes(job.settings.model, job.settings.design, **shapes)
        assert Shape(**shapes).cost(fitted.model, job.settings.design).size_mib > 0
