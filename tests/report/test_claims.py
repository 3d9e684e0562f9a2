"""reports/claims.yaml is read strictly: what is wrong in it is told by file, field and choices."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from claims_factories import CONTRAST, content
from conftest import CONF

from bnn_ablate.report.claims.declared import Claims, ClaimsError, read_claims
from bnn_ablate.report.claims.figures import Figures, check_figures

FILE = CONF.parent / "reports" / "claims.yaml"
PUBLISHED = CONF.parent / "reports" / "published"


@pytest.fixture(scope="module")
def claims() -> Claims:
    return read_claims(FILE)


def refused(folder: Path, changed: Any) -> str:
    path = folder / "claims.yaml"
    path.write_text(changed if isinstance(changed, str) else yaml.safe_dump(changed))
    with pytest.raises(ClaimsError) as error:
        read_claims(path)
    text = str(error.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return text.removeprefix(f"{path}: ")


# --- the file itself ----------------------------------------------------------------------------------------------


def test_all_eleven_claims_are_there_and_those_of_accuracy_have_contrasts(claims):
    assert [claim.number for claim in claims.claims] == list(range(1, 12))
    others = {9: "nothing", 10: "packed", 11: "scaling_error"}
    assert {claim.number: claim.judged_by for claim in claims.claims if claim.judged_by != "contrasts"} == others
    assert all(claim.contrasts for claim in claims.claims[:8])


def test_every_published_figure_is_found(claims):
    check_figures(claims, Figures(PUBLISHED), FILE)


def test_figures_are_last_epochs_of_logs_with_their_difference(claims):
    scaling = claims.claims[0].contrasts[0].published_for[0]
    change = Figures(PUBLISHED).change(scaling)
    assert change.text == "85.85 to 85.82, -0.03 (CIFAR-10, float downsampling)"  # 85.8474 and 85.8173
    assert change.value == pytest.approx(85.8173 - 85.8474)
    assert change.mark == ""
    assert "log 555b03684" in change.source


def test_what_is_only_recalled_has_no_figure_and_its_mark(claims):
    pretraining = claims.claims[2]
    assert [change for one in pretraining.contrasts for change in one.published_for if change.before is not None] == []
    against = Figures(PUBLISHED).change(pretraining.contrasts[-1].published_against[0])
    assert (against.mark, against.value) == ("m", None)


def test_figures_that_speak_for_a_gain_go_up_and_those_against_do_not(claims):
    figures = Figures(PUBLISHED)
    for claim in claims.claims:
        for contrast in claim.contrasts:
            ups = [figures.change(one).value for one in contrast.published_for]
            downs = [figures.change(one).value for one in contrast.published_against]
            sign = {"gain": 1, "no_gain": -1}.get(contrast.expects, 0)
            assert all(sign * value >= -contrast.margin for value in ups if value is not None), contrast.name
            assert all(sign * value < 0 for value in downs if value is not None), contrast.name


def test_channel_in_order_post_is_no_claim(claims):
    for contrast in claims.claims[0].contrasts:
        assert (contrast.after["scaling"], contrast.at["order"]) != ("channel", "post")


# --- what is refused ----------------------------------------------------------------------------------------------


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ClaimsError, match=r"claims\.yaml: No such file"):
        read_claims(tmp_path / "claims.yaml")


def test_text_that_is_no_yaml_is_refused(tmp_path):
    assert refused(tmp_path, "claims: [").startswith("this is no YAML: ")


def test_an_unknown_expectation_is_told_with_the_choices(tmp_path):
    told = refused(tmp_path, content({"expects": "better"}))
    assert told.startswith("claims.0.contrasts.0.expects: ")
    assert all(choice in told for choice in ("equal", "no_gain", "gain", "at_least"))


@pytest.mark.parametrize(
    ("where", "field", "choice"),
    [
        (("claims", 0), "verdict", "statement"),
        (("claims", 0, "contrasts", 0), "matches", "matched"),
        (("claims", 0, "said"), "page", "where"),
        (("scopes", "full"), "width", "settings"),
        ((), "claim", "claims"),
    ],
)
def test_an_unknown_field_is_told_with_those_there_are(where, field, choice, tmp_path):
    whole = deepcopy(content({}))
    block: Any = whole
    for step in where:
        block = block[step]
    block[field] = "x"
    told = refused(tmp_path, whole)
    assert told.startswith(".".join(map(str, (*where, field))) + ": there is no such field: choose ")
    assert choice in told.split("choose ")[1].split(", ")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"margin": 0}, "margin: Input should be greater than 0"),
        ({"margin": "half"}, "margin: Input should be a valid number"),
        ({"after": {"scaling": "none"}}, "before and after are the same"),
        ({"compared_at": [{"order": "post"}]}, "compared_at holds 1 settings"),
        ({"sweeps": {"big": ["a"]}}, "sweeps.big is no scope: choose full, smaller"),
        ({"sweeps": {"full": []}}, "List should have at least 1 item"),
        ({"published_for": [{"says": "it helps"}]}, "give before and after, or says, source and confidence"),
        ({"published_for": [{"before": {}, "after": {}}]}, "give log, or all of table, row and column"),
        ({"full_size": "after"}, "full_size says something of a ratio or of equal_epochs alone"),
        ({"matched": "parameters"}, "Input should be 'size' or 'macs'"),
    ],
)
def test_a_contrast_that_means_nothing_is_refused_with_its_reason(change, reason, tmp_path):
    assert reason in refused(tmp_path, content(change))


def test_a_missing_field_is_named(tmp_path):
    whole = content({})
    del whole["claims"][0]["contrasts"][0]["expects"]
    assert refused(tmp_path, whole).startswith("claims.0.contrasts.0.expects: ")


def test_two_contrasts_or_claims_of_one_name_are_refused(tmp_path):
    assert "claim 1: contrast xnor is there twice" in refused(tmp_path, content({}, {}))
    whole = content({})
    whole["claims"] *= 2
    assert "claim 1 is there twice" in refused(tmp_path, whole)


def test_a_claim_without_contrasts_says_how_it_is_judged_and_what_it_needs(tmp_path):
    assert "judged_by is contrasts, and there are 0 contrasts" in refused(tmp_path, content())
    assert "needs stands where judged_by is not contrasts" in refused(tmp_path, content(judged_by="nothing"))


@pytest.mark.parametrize(
    ("figure", "reason"),
    [
        ({"log": "000000000"}, "runs.csv: no line has log=000000000"),
        ({"table": "nowhere", "row": {"a": "b"}, "column": "top1"}, "nowhere.csv cannot be read"),
        ({"table": "replications", "row": {"model": "ResNetE18"}, "column": "top1"}, "and one is needed"),
        ({"table": "replications", "row": {"origin": "third_party_keras"}, "column": "stem"}, "there is no number"),
    ],
)
def test_a_figure_that_is_not_there_is_refused_with_its_contrast(figure, reason, tmp_path):
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump(content({"published_for": [{"before": figure, "after": figure}]})))
    with pytest.raises(ClaimsError) as error:
        check_figures(read_claims(path), Figures(PUBLISHED), path)
    assert str(error.value).startswith(f"{path}: claim 1, {CONTRAST['name']}: ")
    assert reason in str(error.value)


def test_settings_are_spelt_as_in_a_configuration(tmp_path):
    path = tmp_path / "claims.yaml"
    settings = {
        "model.width": 1.0,
        "recipe.epochs": 150,
        "downsample.relu": False,
        "pretrain.from": None,
        "a": [1.0, 2],
    }
    path.write_text(yaml.safe_dump(content({"at": settings})))
    (contrast,) = read_claims(path).claims[0].contrasts
    spelt = {"model.width": "1.0", "recipe.epochs": "150", "downsample.relu": "false", "pretrain.from": "null"}
    assert contrast.at == {**spelt, "a": "[1.0, 2]"}
