"""The paper's size is granted to cells that have all of its settings, and a scope's words hide none that differs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from claims_factories import (
    BASE,
    FULL,
    State,
    claims_of,
    content,
    declaration,
    judged,
    line_of,
    plus,
    put_cells,
    put_runs,
    scored,
    whole_config,
)
from conftest import CONF

from bnn_ablate.record import Record
from bnn_ablate.report.cells import flatten
from bnn_ablate.report.claims.cells import Candidate, find_matches
from bnn_ablate.report.claims.declared import ClaimsError, Contrast, read_claims
from bnn_ablate.report.claims.scopes import in_scope
from bnn_ablate.report.published.options import Options

CLAIMS = read_claims(CONF.parent / "reports" / "claims.yaml")
PUBLISHED = CONF.parent / "reports" / "published"
OPTIONS = Options(CONF)
CIFAR10 = {"data": "cifar10", "recipe": "cifar_2018", "stem": "cifar_2018"}
IMAGENET = {"data": "image_folder", "recipe": "imagenet_2018"}


def named(number: int, name: str) -> Contrast:
    (claim,) = (claim for claim in CLAIMS.claims if claim.number == number)
    (contrast,) = (one for one in claim.contrasts if one.name.startswith(name))
    return contrast


def cell(images: tuple[int, int] | None = None, **asked: Any) -> Candidate:
    return Candidate(leaves=dict(flatten(whole_config(**asked))), images=images)


def speaks(contrast: Contrast, scope: str, *cells: Candidate) -> list[bool]:
    """Of each match, whether it speaks about the paper."""
    matches = find_matches(contrast, CLAIMS.always, cells)
    return [in_scope(contrast, match, cells, CLAIMS.scopes[scope], OPTIONS) for match in matches]


SCALING = named(1, "alpha and K, BatchNorm")


def scaled(images: tuple[int, int] | None = None, **changes: Any) -> list[Candidate]:
    return [cell(images, **{**CIFAR10, "scaling": scaling, **changes}) for scaling in ("none", "xnor")]


def test_cells_with_all_of_the_papers_settings_speak_about_it():
    assert speaks(SCALING, "cifar10", *scaled()) == [True]
    assert speaks(SCALING, "cifar10", *scaled((50000, 10000))) == [True]


@pytest.mark.parametrize(
    "changes",
    [
        {"recipe.schedule": "constant"},
        {"recipe.schedule.milestones": "[10, 20, 30]"},
        {"recipe.augment": "none"},
        {"recipe.optimizer.weight_decay": 0.5},
        {"recipe.optimizer.lr": 0.001},
        {"recipe.batch_size": 64},
        {"recipe.epochs": 149},
        {"data.limit_train": 500},
        {"data.holdout": 5000},
        {"init": "glorot"},
        {"latent": "clamped"},
        {"stem": "cifar"},
        {"model.width": 0.5},
        {"grad": "ede"},
        {"grad.clip": 1.3},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_one_other_setting_anywhere_takes_the_papers_size_away(changes):
    there = scaled()
    changed = [replace(one, leaves={**one.leaves, **leaves_of(changes)}) for one in there]
    assert speaks(SCALING, "cifar10", *there) == [True]
    assert speaks(SCALING, "cifar10", *changed) == [False]


def leaves_of(changes: dict[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in changes.items()}


def test_options_of_which_the_paper_had_several_may_be_any_of_them():
    assert speaks(SCALING, "cifar10", *scaled(grad="approxsign_both", downsample="binary")) == [True]


def test_of_equal_epochs_the_pretrained_cell_has_the_papers_epochs():
    contrast = named(3, "scratch against ReLU, equal epochs")

    def pair(tuned: int, scratch: int, **recipe: Any) -> list[Candidate]:
        relu = {**CIFAR10, "pretrain": "relu", "recipe.epochs": tuned, **recipe}
        schedule = {"recipe.schedule.milestones": "[150, 200, 250]"}
        return [cell(**relu), cell(**{**CIFAR10, "recipe.epochs": scratch, **schedule})]

    assert speaks(contrast, "cifar10", *pair(150, 300)) == [True]
    assert speaks(contrast, "cifar10", *pair(75, 150)) == [False]
    assert speaks(contrast, "cifar10", *pair(75, 150, **{"recipe.schedule.milestones": "[37, 50, 62]"})) == [False]


def test_twice_the_width_speaks_about_the_paper_where_it_leads_to_its_width():
    contrast = named(7, "twice the width")
    cells = [cell(**CIFAR10, **{"model.width": width}) for width in (0.5, 1.0, 2.0)]
    assert speaks(contrast, "cifar10", *cells) == [True, False]


def test_a_folder_of_a_thousand_classes_is_not_yet_imagenet():
    def pair(images: tuple[int, int] | None, batch: int) -> list[Candidate]:
        asked = {**IMAGENET, "recipe.batch_size": batch}
        return [cell(images, **asked, scaling=scaling) for scaling in ("none", "xnor")]

    assert speaks(SCALING, "imagenet", *pair((1281167, 50000), 128)) == [True]
    assert speaks(SCALING, "imagenet", *pair((1281167, 50000), 8)) == [False]
    assert speaks(SCALING, "imagenet", *pair((130000, 5000), 128)) == [False]


def test_a_scope_of_settings_that_conf_does_not_have_is_told(tmp_path):
    whole = content({})
    whole["scopes"]["full"]["settings"] = {**FULL, "model.depth": 18}
    path = tmp_path / "claims.yaml"
    path.write_text(str(whole))  # a Python literal of words and numbers is YAML
    with pytest.raises(
        ClaimsError, match=r"scopes\.full\.settings: model\.depth=18: there is no such setting in conf/"
    ):
        judged(tmp_path, read_claims(path))


# --- words --------------------------------------------------------------------------------------------------------


def put_short_study(root: Path, differences: dict[str, tuple[float, ...]]) -> None:
    """Cells as of sweeps/back_to_simplicity_cifar10_short.yaml, with all their settings and four declared seeds."""
    config = whole_config(
        **CIFAR10, **{"model.width": 0.25, "recipe.epochs": 6, "recipe.schedule.milestones": "[3, 4, 5]"}
    )
    put_cells(
        root,
        {overrides: plus(*points) for overrides, points in differences.items()},
        declared=declaration(range(4), scaling="none", grad="ste", order="post"),
        **config,
    )


def test_the_short_study_with_all_its_seeds_gives_verdicts_at_a_scope_that_tells_all_that_differs(tmp_path):
    put_short_study(
        tmp_path,
        {
            "scaling=none grad=ste order=post": (0.0, 0.0, 0.1, -0.1),
            "scaling=xnor grad=ste order=post": (0.1, -0.1, 0.0, 0.0),
            "scaling=none grad=approxsign_both order=post": (2.9, 3.0, 3.0, 3.1),
            "scaling=none grad=ste order=pre": (1.0, 1.1, 0.9, 1.0),
            "scaling=xnor grad=ste order=pre": (1.0, 1.0, 1.1, 0.9),
        },
    )
    one = judged(tmp_path, replace(CLAIMS, claims=CLAIMS.claims[:1]), PUBLISHED)
    two = judged(tmp_path, replace(CLAIMS, claims=CLAIMS.claims[1:2]), PUBLISHED)
    lines = [line for line in (*one.lines, *two.lines) if line.study]
    assert [line.verdict for line in lines] == ["holds", "holds", "contradicted"]
    told = "CIFAR-10, ResNetE18 of width 0.25, 6 epochs of cifar_2018, order=post, grad=ste, "
    assert lines[0].scope == f"{told}recipe.schedule.milestones=[3, 4, 5], stem=cifar_2018"
    assert all(line.at_scope is None and line.marks == () for line in lines)
    assert (one.elsewhere_verdict, one.share, one.paper_verdict) == ("holds", (2, 3), "not run")


def test_every_setting_that_is_not_the_options_own_is_told(tmp_path):
    changes = {
        "data": {"name": "cifar10", "image_size": 32, "limit_train": 500},
        "recipe": {"name": "cifar_2018", "epochs": 6, "batch_size": 64, "optimizer": {"name": "adam", "lr": 0.1}},
        "grad": {"name": "ste", "clip": 1.3},
        "init": "glorot",
    }
    put_cells(tmp_path, {"scaling=none": BASE, "scaling=xnor": BASE}, **changes)
    scope = line_of(judged(tmp_path, claims_of(tmp_path, {}))).scope
    assert scope.startswith("CIFAR-10, ResNetE18 of width 0.25, 6 epochs of cifar_2018, order=post, ")
    told = scope.split(", ")[4:]
    assert sorted(told) == [
        *("data.limit_train=500", "grad.clip=1.3", "init=glorot", "recipe.batch_size=64", "recipe.optimizer.lr=0.1"),
    ]


def test_matches_that_differ_in_a_freed_setting_have_words_of_their_own(tmp_path):
    runs: list[tuple[str, Record, State]] = [("scaling=none", scored(80, seed=seed), "done") for seed in range(3)]
    for gradient in (False, True):
        scaling = {"name": "xnor", "gradient": gradient}
        overrides = f"scaling=xnor scaling.gradient={str(gradient).lower()}"
        runs += [(overrides, scored(80, seed=seed, scaling=scaling), "done") for seed in range(3)]
    put_runs(tmp_path, runs)
    lines = [line for line in judged(tmp_path, claims_of(tmp_path, {})).lines if line.study]
    head = "CIFAR-10, ResNetE18 of width 0.25, 6 epochs of cifar_2018, order=post"
    assert [line.scope for line in lines] == [head, f"{head}, scaling.gradient=false to true"]
