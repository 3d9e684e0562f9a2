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
    others = {"model", "data", "recipe", "trainer", "tracking", "hydra"}
    assert folders == {field.name for field in fields(Design)} | others


def option_files() -> list[str]:
    return sorted(f"{path.parent.name}={path.stem}" for axis in AXES for path in (CONF / axis).glob("*.yaml"))


#: What an option needs beside it: a model it applies to, or a file.
PARTNERS = {
    "shortcut=concat": ["model=binary_densenet28"],
    "downsample=binary_2018": ["model=binary_densenet28"],
    "downsample=fp_high_reduction": ["model=binary_densenet28"],
    "downsample=binary_low_reduction": ["model=binary_densenet28"],
    "growth=k64": ["model=binary_densenet_flex"],
    "growth=k128": ["model=binary_densenet_flex"],
    "growth=k256": ["model=binary_densenet_flex"],
    "pretrain=file": ["pretrain.from=weights.ckpt"],
}


@pytest.mark.parametrize("override", option_files())
def test_every_option_of_every_axis_composes_and_is_named_like_its_file(override, make_settings):
    axis, option = override.split("=")
    settings = make_settings(override, *PARTNERS.get(override, ()))
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
    (["scaling.name=often"], "scaling.name=often: input should be 'none', 'channel', 'xnor' or 'learned'"),
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
    (["scaling=learned", "scaling.gradient=true"], "scaling=learned has a parameter of its own"),
    (["scaling=channel", "weights=magnitude_aware"], "scaling=channel cannot be combined with weights=magnitude_aware"),
    (["scaling=learned", "weights=float"], "scaling=learned cannot be combined with weights=float"),
    (["scaling=xnor", "activations=float"], "scaling=xnor cannot be combined with activations=float"),
    (["output=popcount", "weights=float"], "output=popcount cannot be combined with weights=float"),
    (["output=popcount", "activations=float"], "output=popcount cannot be combined with activations=float"),
    (["grad=ede_both", "weights=float"], "grad=ede_both cannot be combined with weights=float.*choose grad=ede"),
    (["grad=ede", "weights=float", "activations=float"], "grad=ede does nothing with weights=float activations=float"),
    (["grad=ede", "activations=float"], "grad=ede does nothing with weights=sign activations=float"),
    (
        ["grad=approxsign", "activations=float", "weights=magnitude_aware"],
        "grad=approxsign does nothing with weights=magnitude_aware activations=float",
    ),
    (["grad=ede", "latent=clamped"], "latent=clamped needs a threshold: give it as grad.clip=VALUE"),
    (["grad=ede", "grad.t_min=20"], "grad.t_max=10.0 must not be below grad.t_min=20.0"),
    (["grad=swishsign", "grad.beta=0"], "grad.beta=0: input should be greater than 0"),
    (["latent=clamped", "weights=float"], "latent=clamped does not apply to weights=float"),
    (["activations=float", "padding=minus_one"], "padding=minus_one cannot be combined with activations=float"),
    (["activations.function=relu"], "activations.function=relu does not go with activations=sign"),
    (["pretrain=relu", "weights=float", "activations=float"], "pretrain=relu does not apply to weights=float"),
    (["pretrain=file"], "pretrain=file needs a checkpoint: give it as pretrain.from=FILE"),
    (["pretrain.from=x"], "pretrain.from=x does nothing with pretrain=none"),
    (["+recipe@pretrain.recipe=quick"], "pretrain.recipe does nothing with pretrain=none"),
    (
        ["pretrain=relu", "pretrain.from=x", "+recipe@pretrain.recipe=quick"],
        "pretrain.recipe does nothing with pretrain.from=x",
    ),
    (
        ["data=cifar10", "pretrain=relu", "+recipe@pretrain.recipe=cifar_2018", "pretrain.recipe.epochs=20"],
        r"pretrain.recipe.schedule.milestones=\[75, 100, 125\] reach past pretrain.recipe.epochs=20",
    ),
    (
        ["pretrain=relu", "+recipe@pretrain.recipe=imagenet_2020"],
        "augment=resized_crop does not apply to data=digits",
    ),
    (["downsample=fp_high_reduction"], "downsample=fp_high_reduction .* does not apply to model=resnet_e18"),
    (["downsample.relu=false"], "downsample.relu=false does not apply to model=resnet_e18"),
    (["downsample=binary", "downsample.relu=true"], "downsample.relu=true cannot be combined with downsample=binary"),
    (["downsample.precision=binary"], "downsample.precision=binary does not go with downsample=fp"),
    (
        ["model=binary_densenet28", "downsample.reduction=[2]"],
        r"downsample.reduction=\[2.0\] does not apply to model=binary_densenet28, which has 3 transitions",
    ),
    (["growth=k128"], "growth=k128 does not apply to model=resnet_e18"),
    (["model=binary_densenet28", "growth=k128"], "growth=k128 with growth.match=published needs"),
    (["growth.match=size"], "growth.match=size does nothing with growth=default"),
    (["growth.rate=3"], "growth.rate=3 does nothing with growth=default"),
    (["growth=k64", "growth.rate=null"], "growth.rate=null does not go with growth=k64"),
    (
        ["model=binary_densenet_flex", "growth=k64", "growth.match=size", "bottleneck=classic_size"],
        "growth.match=size cannot be combined with bottleneck=classic_size",
    ),
    (["bottleneck.by=width"], "bottleneck.by=width does nothing with bottleneck=none"),
    (["bottleneck=classic_size", "bottleneck.by=null"], "bottleneck.by=null does not go with bottleneck=classic_size"),
    (["bottleneck=classic", "model.channels=[6,8,8,8]"], "bottleneck=classic needs a quarter of 6 features"),
    (
        ["first=binary", "recipe.normalize=false", "model.input_norm=false"],
        "first=binary needs recipe.normalize=true or model.input_norm=true",
    ),
    (
        [
            *("model=binary_densenet28", "first=binary", "pretrain=relu", "+recipe@pretrain.recipe=quick"),
            "pretrain.recipe.normalize=false",
        ],
        "first=binary needs pretrain.recipe.normalize=true",
    ),
    (
        ["trainer=smoke", "pretrain=relu", "+recipe@pretrain.recipe=quick"],
        "trainer=smoke does not cut pretrain.recipe.epochs=10",
    ),
    (["grad.name=mine"], "grad.name=mine: input should be one of 'ste', 'approxsign'"),
    (["study=index"], "study=index is the name of one of the report's own pages"),
    (["study=a/b"], "study=a/b becomes the name of a file: use letters, digits, - and _"),
    ([f"study={'a' * 101}"], "has 101 letters and becomes part of names of files: use at most 100"),
    (["runs=''"], "runs=: string should have at least 1 character"),
]


@pytest.mark.parametrize(
    ("overrides", "sentence"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_a_wrong_setting_is_one_sentence_that_names_field_and_value(overrides, sentence, make_settings):
    with pytest.raises(SettingsError, match=sentence) as caught:
        make_settings(*overrides)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("elsewhere", ["trainer.accelerator=gpu", "trainer.compile=true"])
def test_bits_are_counted_on_a_cpu_and_outside_of_compiled_networks_only(make_settings, elsewhere):
    with pytest.raises(
        SettingsError, match=rf"packed counts bits .* {elsewhere} .* choose trainer.binary_forward=float"
    ):
        make_settings(elsewhere, "trainer.binary_forward=packed")
    make_settings(elsewhere, "trainer.binary_forward=float")
    make_settings("trainer=gpu")


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
