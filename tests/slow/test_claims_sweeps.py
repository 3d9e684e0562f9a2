"""reports/claims.yaml: whatever a contrast says would run it does, and at the scope under which it is named."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from conftest import CONF
from sweep_files import NAMES, asked, cells_of, put_images

from bnn_ablate.identity import plain_config
from bnn_ablate.report.cells import flatten
from bnn_ablate.report.claims.cells import Candidate, find_matches
from bnn_ablate.report.claims.declared import SMALLER, Contrast, read_claims
from bnn_ablate.report.claims.scopes import in_scope
from bnn_ablate.report.published.options import Options

ROOT = CONF.parent
CLAIMS = read_claims(ROOT / "reports" / "claims.yaml")
OPTIONS = Options(CONF)
CONTRASTS = [
    pytest.param(contrast, id=f"{claim.number}-{contrast.name}")
    for claim in CLAIMS.claims
    for contrast in claim.contrasts
]


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[Candidate]]:
    """The cells of a file of sweeps/ as their records would have them."""
    images = put_images(tmp_path_factory.mktemp("images"))

    @cache
    def found(name: str) -> list[Candidate]:
        jobs = cells_of(name, asked(name, images)).jobs
        configs = [plain_config(job.settings, job.ids) for job in jobs]
        return [Candidate(leaves={k: text for k, text in flatten(one) if k != "seed"}) for one in configs]

    return found


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_every_sweep_that_a_contrast_names_has_its_cells_at_that_scope(contrast: Contrast, cells):
    for scope, names in contrast.sweeps.items():
        assert set(names) <= set(NAMES), scope
        there = [cell for name in names for cell in cells(name)]
        matches = find_matches(contrast, CLAIMS.always, there)
        assert matches, (scope, names)
        if scope != SMALLER:
            full = CLAIMS.scopes[scope]
            assert [match for match in matches if in_scope(contrast, match, there, full, OPTIONS)], scope
        else:
            scopes = CLAIMS.scopes.items()
            at = [name for name, one in scopes for m in matches if in_scope(contrast, m, there, one, OPTIONS)]
            assert at == []
