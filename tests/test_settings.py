"""Settings: what the command line accepts, and the one sentence it answers with otherwise."""

from __future__ import annotations

from dataclasses import fields

import pytest
from conftest import CONF, composed
from omegaconf import OmegaConf

from bnn_ablate.design import AXES, Design
from bnn_ablate.settings import Settings, SettingsError, read_settings


def test_every_axis_has_a_folder_and_every_folder_a_field():
    folders = {path.name for path in CONF.iterdir() if path.is_dir()}
    others = {"model", "data", "recipe", "trainer", "tracking"}
    assert folders == {field.name for field in fields(Design)} | others


def option_files() -> list[str]:
    return sorted(f"{path.parent.name}={path.stem}" for axis in AXES for path in (CONF / axis).glob("*.yaml"))


@pytest.mark.parametrize("override", option_files())
def test_every_option_of_every_axis_composes_and_is_named_like_its_file(override, make_settings):
    axis, option = override.split("=")
    extra = ["model=binary_densenet28"] if override == "shortcut=concat" else []
    settings = make_settings(override, *extra)
    assert getattr(settings.design, axis).name == option


@pytest.mark.parametrize("path", sorted((CONF / "model").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_model_composes(path, make_settings):
    assert make_settings(f"model={path.stem}").model.name == path.stem


RECIPES = sorted(path.stem for path in (CONF / "recipe").glob("*.yaml"))


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_composes_with_the_data_it_is_made_for(recipe, make_settings):
    folder = recipe.startswith("imagenet") or recipe == "larq"
    data = ["data=image_folder", "data.root=/images"] if folder else ["data=cifar10"]
    assert make_settings(f"recipe={recipe}", *data).recipe.name == recipe


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda path: str(path.relative_to(CONF)))
def test_every_yaml_file_says_in_its_first_line_what_it_is(path):
    lines = [line for line in path.read_text().splitlines() if not line.startswith("# @package")]
    assert lines[0].startswith("# ")
    assert len(lines[0]) > 20


# Source: wiki logs and hyperparameters.md of the authors, larq_zoo/training/basic_experiments.py
PUBLISHED_RECIPES = {
    # recipe: epochs, batch, optimizer, rate, milestones, factor, warm-up
    "cifar_2018": (150, 128, "adam", 0.01, (75, 100, 125), 0.3, 0),
    "cifar_wiki": (150, 128, "adam", 0.02, None, None, 5),
    "imagenet_2018": (40, 256, "adam", 0.001, (34, 37), 0.1, 0),
    "imagenet_2020": (120, 256, "radam", 0.002, None, None, 0),
    "larq": (120, 1024, "adam", 0.004, (70, 90, 110), 0.3, 0),
}


@pytest.mark.parametrize("name", PUBLISHED_RECIPES)
def test_published_recipes_hold_the_published_numbers(name, make_settings):
    data = ["data=cifar10"] if name.startswith("cifar") else ["data=image_folder", "data.root=/images"]
    recipe = make_settings(f"recipe={name}", *data).recipe
    schedule = recipe.schedule
    found = (
        recipe.epochs,
        recipe.batch_size,
        recipe.optimizer.name,
        recipe.optimizer.lr,
        getattr(schedule, "milestones", None),
        getattr(schedule, "factor", None),
        schedule.warmup_epochs,
    )
    assert found == PUBLISHED_RECIPES[name]
    assert recipe.optimizer.weight_decay == 0


def test_dense_networks_bring_their_order_and_shortcut(make_settings):
    design = make_settings("model=binary_densenet28").design
    assert (design.order.name, design.shortcut.name) == ("pre", "concat")


def test_image_folders_bring_the_imagenet_stem_and_the_command_line_still_wins(make_settings):
    folder = ["data=image_folder", "data.root=/images", "recipe=imagenet_2020"]
    assert make_settings(*folder).design.stem.name == "imagenet"
    assert make_settings(*folder, "stem=grouped").design.stem.name == "grouped"


def test_the_larq_recipe_brings_clamped_latent_weights(make_settings):
    folder = ["data=image_folder", "data.root=/images", "recipe=larq"]
    assert make_settings(*folder).design.latent.name == "clamped"
    assert make_settings(*folder, "latent=free").design.latent.name == "free"


WRONG = [
    (["grad.clip=abc"], "grad.clip=abc: input should be a valid number"),
    (["grad.clip=0"], r"grad.clip=0.0 must be greater than 0"),
    (["grad=approxsign", "grad.clip=1.3"], r"grad.clip=1.3 does nothing with grad=approxsign"),
    (["scaling.name=often"], "scaling.name=often: input should be 'none', 'channel' or 'xnor'"),
    (["scaling.gradient=true"], "scaling.gradient=true needs scaling=channel or scaling=xnor"),
    (["scaling=xnor", "output=popcount"], "output=popcount cannot be combined with scaling=xnor"),
    (["model.width=0.3"], "model.width=0.3 gives 19.2 features in place of 64"),
    (["model=binary_densenet28", "order=post"], "order=post does not apply to model=binary_densenet28"),
    (["model=binary_densenet28", "shortcut=none"], "shortcut=none does not apply to model=binary_densenet28"),
    (["shortcut=concat"], "shortcut=concat does not apply to model=resnet_e18"),
    (["recipe.epochs=0"], "recipe.epochs=0: input should be greater than 0"),
    (["recipe.epochs=1.5"], "recipe.epochs=1.5: input should be a valid integer"),
    (["recipe.schedule.warmup_epochs=10"], "recipe.schedule.warmup_epochs=10 must be below recipe.epochs=10"),
    (["recipe/augment=resized_crop"], "recipe/augment=resized_crop does not apply to data=digits"),
    (["recipe/augment=level3"], "recipe/augment=level3 changes colours and data=digits is grey"),
    (["recipe.optimizer.lr=-1"], "recipe.optimizer.lr=-1: input should be greater than 0"),
    (["+recipe.optimizer.l2=1"], "recipe.optimizer.l2 is not a setting"),
    (["+colour=red"], "colour is not a setting"),
    (["~seed"], "seed is missing from the configuration"),
    (["data=image_folder", "recipe=imagenet_2020"], "data.root has no default: give it as data.root=VALUE"),
    (["model.blocks_per_stage=[2,2]"], r"model.channels=\[64, 128, 256, 512\] and model.blocks_per_stage=\[2, 2\]"),
    (["model=binary_densenet28", "model.reduction=[2]"], "model.layers_per_stage"),
    (["data.limit_train=some"], "data.limit_train=some: input should be"),
    (["seed=-1"], "seed=-1: input should be greater than or equal to 0"),
    (["seed=4294967296"], "seed=4294967296: input should be less than 4294967296"),
    (["grad.clip=nan"], "grad.clip=nan: input should be a finite number"),
    (["recipe.optimizer.lr=inf"], "recipe.optimizer.lr=inf: input should be a finite number"),
    (["model.width=1e18"], r"model.width=1e\+18: input should be less than or equal to 16"),
    (["shortcut=none", "downsample=binary"], "downsample=binary does nothing with shortcut=none"),
    (["output=popcount", "recipe.precision=bf16"], "output=popcount cannot be combined with recipe.precision=bf16"),
    (
        ["data=cifar10", "recipe=cifar_2018", "recipe.epochs=20"],
        r"recipe.schedule.milestones=\[75, 100, 125\] reach past recipe.epochs=20",
    ),
    (["study=index"], "study=index is the name of one of the report's own pages"),
    (["study=a/b"], "study=a/b becomes the name of a file: use letters, digits, - and _"),
    (["runs=''"], "runs=: string should have at least 1 character"),
]


@pytest.mark.parametrize(
    ("overrides", "sentence"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_a_wrong_setting_is_one_sentence_that_names_field_and_value(overrides, sentence, make_settings):
    with pytest.raises(SettingsError, match=sentence) as caught:
        make_settings(*overrides)
    assert "\n" not in str(caught.value)


def test_a_whole_number_stands_for_a_float_and_is_one(make_settings):
    assert isinstance(make_settings("grad.clip=1").design.grad.clip, float)


def test_no_dataclass_of_the_settings_has_a_default():
    def walk(cls: type) -> None:
        for field in fields(cls):
            assert field.default is field.default_factory, (
                f"{cls.__name__}.{field.name} has a default: conf/ is their home"
            )

    for cls in (Settings, Design):
        walk(cls)


def test_settings_are_read_from_plain_containers_without_hydra():
    plain = OmegaConf.to_container(composed(), resolve=True)
    assert read_settings(plain).seed == 0
