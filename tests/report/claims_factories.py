"""Studies of few runs and claims of one contrast, with accuracies that a reader can check by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import yaml
from conftest import CONF
from factories import make_record, put_done, put_status, put_study

from bnn_ablate.analysis import Declaration
from bnn_ablate.record import Accuracy, Record, pack_bits
from bnn_ablate.report.cells import study_cells
from bnn_ablate.report.claims.declared import Claims, read_claims
from bnn_ablate.report.claims.figures import Figures
from bnn_ablate.report.claims.lines import JudgedClaim, Line
from bnn_ablate.report.claims.verdicts import judge_claims
from bnn_ablate.report.effects.estimates import estimator_of
from bnn_ablate.report.published.options import Options
from bnn_ablate.report.runs import read_stores
from bnn_ablate.report.tables import make_table
from bnn_ablate.study import plan_jobs

State = Literal["done", "failed", "diverged", "running", "missing"]
#: Test images: one is a twentieth of a point.
IMAGES = 2000
#: What all cells of these studies share.
SHARED: Mapping[str, Any] = {
    "weights": "sign",
    "activations": "sign",
    "data": {"name": "cifar10", "image_size": 32},
    "recipe": {"name": "cifar_2018", "epochs": 6, "batch_size": 128},
}
CONTRAST: Mapping[str, Any] = {
    "name": "xnor",
    "expects": "no_gain",
    "before": {"scaling": "none"},
    "after": {"scaling": "xnor"},
    "sweeps": {"full": ["scaling_cifar10"], "smaller": ["scaling_cifar10_narrow"]},
}
FULL: Mapping[str, Any] = {"data": "cifar10", "recipe": "cifar_2018", "recipe.epochs": 6, "model.width": 1.0}
BASE = (80.0, 80.5, 79.5, 80.0)


def plus(*points: float) -> tuple[float, ...]:
    """The accuracies of BASE, seed by seed, with these points added."""
    return tuple(base + more for base, more in zip(BASE, points, strict=False))


def scored(percent: float, *, seed: int, seconds: float = 60.0, **changes: Any) -> Record:
    """A run with ``percent`` of the test images right."""
    record = make_record(seed=seed, seconds=seconds, **{**SHARED, **changes})
    correct = round(IMAGES * percent / 100)
    accuracy = Accuracy(
        num_images=IMAGES,
        top1=correct / IMAGES,
        top5=1.0,
        correct_bits=pack_bits([(image + 7 * seed) % IMAGES < correct for image in range(IMAGES)]),
    )
    return replace(record, accuracy=accuracy)


def put_cells(
    root: Path,
    cells: Mapping[str, Sequence[float]],
    *,
    name: str = "grid",
    declared: Declaration | None = None,
    **changes: Any,
) -> None:
    """A study with a cell for each ``scaling=none order=post``, with the accuracies of its seeds 0, 1, ..."""
    jobs: list[tuple[str, Record | None]] = []
    for overrides, percents in cells.items():
        options = dict(text.split("=") for text in overrides.split())
        for seed, percent in enumerate(percents):
            record = put_done(root, scored(percent, seed=seed, **{**changes, **options}))
            jobs.append((f"{overrides} seed={seed}", record))
    if declared is not None:
        plan_jobs(root / "studies", name, [], declared)
    put_study(root, name, jobs)


def put_runs(root: Path, runs: Sequence[tuple[str, Record, State]], *, declared: Declaration | None = None) -> None:
    """The study "grid" of these runs, by their overrides; one that is ``missing`` is planned and has no folder."""
    jobs: list[tuple[str, Record | None]] = []
    for overrides, record, state in runs:
        if state == "done":
            put_done(root, record)
        elif state != "missing":
            put_status(root, record, state, "an error")
        jobs.append((f"{overrides} seed={record.seed}", record))
    if declared is not None:
        plan_jobs(root / "studies", "grid", [], declared)
    put_study(root, "grid", jobs)


def whole_config(**asked: Any) -> dict[str, Any]:
    """The configuration that conf/ makes of these options, with every leaf."""
    leaves = Options(CONF).leaves(asked)
    config: dict[str, Any] = {}
    for key, text in leaves.items():
        is_option = "." not in key or any(other.startswith(f"{key}.") for other in leaves)
        *above, last = [*key.split("."), "name"] if is_option else key.split(".")
        block = config
        for step in above:
            block = block.setdefault(step, {})
        block[last] = _read(text)
    return config


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def declaration(seeds: Sequence[int], *, done: int = 0, **baseline: str) -> Declaration:
    return Declaration(margin=0.5, baseline=baseline, seeds=list(seeds), time="2026-01-01T00:00:00+00:00", done=done)


def content(*contrasts: Mapping[str, Any], **claim: Any) -> dict[str, Any]:
    """A file of one claim with these contrasts, CONTRAST with changes each."""
    return {
        "always": {"weights": "sign", "activations": "sign"},
        "scopes": {"full": {"title": "full size", "settings": FULL}},
        "claims": [
            {
                "number": 1,
                "title": "Scaling",
                "statement": "It brings nothing.",
                "said": {"where": "abstract", "confidence": "primary"},
                "contrasts": [{**CONTRAST, **contrast} for contrast in contrasts],
                **claim,
            }
        ],
        "left_out": [],
    }


def claims_of(folder: Path, *contrasts: Mapping[str, Any], **claim: Any) -> Claims:
    path = folder / "claims.yaml"
    path.write_text(yaml.safe_dump(content(*contrasts, **claim)))
    return read_claims(path)


def judged(root: Path, claims: Claims, published: Path = Path("nowhere")) -> JudgedClaim:
    """The one claim of ``claims`` by the studies under ``root``."""
    contents = read_stores([root])
    tables = [make_table(name, study_cells(study, contents.runs)) for name, study in contents.studies.items()]
    estimators = {table.name: estimator_of(table.cells) for table in tables}
    (one,) = judge_claims(claims, tables, contents.studies, Figures(published), CONF, estimators)
    return one


def line_of(one: JudgedClaim, name: str = "xnor", study: str | None = "grid") -> Line:
    (line,) = [line for line in one.lines if line.name == name and line.study == study]
    return line
