"""Declared tables mean what the command line means: rows against Hydra, and the studies that rebuild them."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import CONF
from omegaconf import DictConfig, OmegaConf
from sweep_files import asked, put_images
from table_factories import DECLARED, groups

from bnn_ablate.report.cells import flatten
from bnn_ablate.report.published.declared import RowsTable, read_declared
from bnn_ablate.report.published.options import GROUPS, PLACES, Options
from bnn_ablate.report.published.scopes import row_key, scope_of

TABLES = {name: table for name, table in read_declared(DECLARED).items() if isinstance(table, RowsTable)}

#: The full-size studies of each table; single figures of scope are those that the logs do not share among rows.
STUDIES = [
    ("scaling_downsample_approxsign_cifar10", "ablation_post_cifar10", 8, ()),
    ("scaling_downsample_approxsign_cifar10", "ablation_pre_cifar10", 8, ()),
    ("scaling_downsample_approxsign_cifar10", "ablation_pre_popcount_cifar10", 4, ()),
    ("scaling_downsample_approxsign_imagenet", "ablation_post_imagenet", 8, ("recipe.batch_size",)),
    ("scaling_downsample_approxsign_imagenet", "ablation_post_batch256_imagenet", 2, ()),
    ("scaling_downsample_approxsign_imagenet", "ablation_pre_imagenet", 8, ()),
    ("pretraining_cifar10", "finetuning_cifar10", 6, ()),
    ("pretraining_imagenet", "finetuning_imagenet", 6, ()),
    ("bottleneck_cifar10", "bottleneck_cifar10", 4, ()),
    ("bottleneck_cifar10", "bottleneck_dense_cifar10", 4, ()),
    ("bottleneck_imagenet", "bottleneck_imagenet", 4, ()),
    ("bottleneck_imagenet", "bottleneck_dense_imagenet", 4, ()),
    ("layers_growth_imagenet", "growth_imagenet", 9, ("recipe.batch_size",)),
    ("dense_downsampling_cifar10", "dense_rows_cifar10", 3, ()),
    ("dense_downsampling_imagenet", "dense_rows_imagenet", 4, ("recipe.",)),
    ("final_models", "final_imagenet", 6, ("recipe.batch_size",)),
]


def rows_of(table: RowsTable) -> list[dict[str, str]]:
    options = Options(CONF)
    return [options.leaves({**table.options, **row.options}) for row in table.rows if row.options is not None]


def leaves_of(config: DictConfig) -> dict[str, str]:
    plain = OmegaConf.to_container(config)
    assert isinstance(plain, dict)
    leaves = dict(flatten({group: plain[group] for group in GROUPS}))
    return {key: value for key, value in leaves.items() if key not in PLACES}


@pytest.mark.parametrize("name", sorted(TABLES))
def test_the_rows_of_a_table_are_what_hydra_makes_of_their_options(name: str) -> None:
    table = TABLES[name]
    for row in table.rows:
        if row.options is not None:
            options = {**table.options, **row.options}
            overrides = [f"{key}={str(value).replace(' ', '').lower()}" for key, value in options.items()]
            assert Options(CONF).leaves(options) == dict(flatten(groups(*overrides))), options


@pytest.mark.parametrize("name", sorted(TABLES))
def test_no_two_rows_of_a_table_are_the_same_runs(name: str) -> None:
    rows = rows_of(TABLES[name])
    assert len({(row_key(leaves), tuple(sorted(leaves.items()))) for leaves in rows}) == len(rows)


@pytest.mark.parametrize(("name", "study", "cells", "apart"), STUDIES)
def test_each_cell_of_a_study_stands_in_a_row_of_its_table(
    name: str, study: str, cells: int, apart: tuple[str, ...], tmp_path: Path
) -> None:
    rows = rows_of(TABLES[name])
    one = asked(study, put_images(tmp_path))
    assert len(one.first_seed) == cells
    for overrides in one.first_seed:
        leaves = leaves_of(one.compose(overrides))
        found = [row for row in rows if row_key(row) == row_key(leaves)]
        assert found, overrides
        scopes = [scope_of(row, leaves) for row in found]
        assert all(key.startswith(apart) for scope in scopes for key, _ in scope) or () in scopes, (overrides, scopes)
        assert apart or () in scopes, (overrides, scopes)
