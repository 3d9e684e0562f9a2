"""Everything a run is made from, as checked values: sizes, data, recipe, and where and how fast it runs.

:func:`read_settings` turns a composed configuration (plain dicts and lists) into one :class:`Settings`, or raises
:class:`SettingsError` with one sentence that names the field, the value and the valid choices. No torch here: the
command line's help and the answer of a finished run must not wait for its import.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from math import isfinite
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from bnn_ablate.analysis import Analysis
from bnn_ablate.checked import STRICT, NonNegativeInt, PositiveFloat, PositiveInt, not_hashed
from bnn_ablate.design import AXES, Design, Growth
from bnn_ablate.recipe import Recipe, StepSchedule

Width = Annotated[float, Field(gt=0, le=16)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Stages = Annotated[tuple[PositiveInt, ...], Field(min_length=1)]


class SettingsError(ValueError):
    """A setting is wrong; the message is one sentence for the person who typed it."""


# --- model: sizes only -------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ResNetESizes:
    """ResNetE: ``blocks_per_stage`` blocks of two 3x3 binary convolutions on ``channels`` features a stage.

    ``stem_features`` leave the stem; all feature counts are multiplied by ``width``. ``input_norm`` is the BatchNorm
    without scale (eps 2e-5) on the raw image.
    """

    name: str = not_hashed("a label: the sizes below say what it is")
    family: Literal["resnet_e"]
    blocks_per_stage: Stages
    channels: Stages
    stem_features: PositiveInt
    width: Width
    input_norm: bool

    def __post_init__(self) -> None:
        if len(self.channels) != len(self.blocks_per_stage):
            raise ValueError(
                f"model.channels={list(self.channels)} and model.blocks_per_stage={list(self.blocks_per_stage)} "
                "must have one number a stage each"
            )
        for features in (self.stem_features, *self.channels):
            scaled(features, self.width)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BinaryDenseNetSizes:
    """BinaryDenseNet: ``layers_per_stage`` dense layers of ``growth`` features, with ``dilation`` d in each stage.

    A stage whose dilation exceeds the stage before keeps its resolution (no pooling in its transition). After stage i
    features shrink to floor(features / ``reduction[i]``), rounded to a multiple of 32. ``width`` multiplies
    ``init_features`` and ``growth``.
    """

    name: str = not_hashed("a label: the sizes below say what it is")
    family: Literal["binary_densenet"]
    layers_per_stage: Stages
    dilation: Stages
    reduction: tuple[Annotated[float, Field(ge=1)], ...]
    growth: PositiveInt
    init_features: PositiveInt
    width: Width
    input_norm: bool

    def __post_init__(self) -> None:
        stages = len(self.layers_per_stage)
        if len(self.dilation) != stages or len(self.reduction) != stages - 1:
            raise ValueError(
                f"model.layers_per_stage={list(self.layers_per_stage)} needs as many values in model.dilation "
                f"(now {list(self.dilation)}) and one less in model.reduction (now {list(self.reduction)})"
            )
        scaled(self.growth, self.width)
        scaled(self.init_features, self.width)


Model = Annotated[ResNetESizes | BinaryDenseNetSizes, Field(discriminator="family")]


def scaled(features: int, width: float) -> int:
    """``features`` times the width multiplier; a width that gives no whole number is refused, never rounded."""
    product = features * width
    if product != int(product) or product < 1:
        raise ValueError(
            f"model.width={width} gives {product} features in place of {features}: choose one that gives whole numbers"
        )
    return int(product)


# --- data --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Data:
    """Which images, at which size, and which of them are kept out of training.

    The result depends on the images (their checksum enters the run id), never on the folder they lie in.
    """

    name: Literal["digits", "fashion_mnist", "cifar10", "cifar100", "image_folder", "synthetic"]
    root: str | None = not_hashed("a place on disk")
    download: bool = not_hashed("how the files come to root")
    #: Side of the square images that the network sees, in pixels.
    image_size: Annotated[int, Field(ge=4)]
    num_classes: Annotated[int, Field(ge=2)]
    #: Training images kept out of training, to choose an epoch on; drawn with ``seed``, not with the run's seed.
    holdout: NonNegativeInt
    seed: Seed
    #: Fewer images of each set, for quick looks and smoke tests: the first ones, or evenly spaced files of a folder.
    limit_train: PositiveInt | Literal["all"]
    limit_test: PositiveInt | Literal["all"]
    #: Channel means and deviations of the pixels in [0, 1], used where ``recipe.normalize`` is true.
    mean: tuple[float, ...]
    std: tuple[PositiveFloat, ...]


# --- where, how fast, what is shown: none of it changes the result ------------------------------------------------


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Trainer:
    """Where a run is trained and with how many hands."""

    name: Literal["cpu", "gpu", "ddp", "smoke"]
    accelerator: Literal["cpu", "gpu"]
    #: Processes that share a step's images (DDP when more than one).
    devices: PositiveInt
    #: CPU threads of each process. Sums change order with it, so results are bit-equal only at equal ``threads``.
    threads: PositiveInt
    compile: bool
    #: How binary convolutions compute on a CPU: from bits, or as convolutions of floats; both give the same numbers.
    binary_forward: Literal["packed", "float"]
    #: Worker processes that decode images of an image folder; small sets need none.
    workers: NonNegativeInt
    #: A checkpoint inside an epoch after this many minutes, beside the one at each epoch's end.
    checkpoint_minutes: PositiveFloat


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Tracking:
    """W&B as a view of the run: ``none``, or ``wandb`` in ``mode`` offline or online."""

    name: Literal["none", "wandb"]
    mode: Literal["offline", "online"]
    project: str


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Settings:
    """One run: what decides its result (first five) and what does not."""

    design: Design
    model: Model
    data: Data
    recipe: Recipe
    seed: Seed
    trainer: Trainer = not_hashed("where and how fast")
    tracking: Tracking = not_hashed("what is shown")
    runs: Annotated[str, Field(min_length=1)] = not_hashed("a place on disk")
    study: str | None = not_hashed("a name for the table and the W&B group")
    analysis: Analysis = not_hashed("what the report asks of a sweep")

    def __post_init__(self) -> None:
        if self.study is not None:
            check_study(self.study)
        check_model(self.model, self.design)
        check_data(self.data, self.recipe)
        first_recipe = self.design.pretrain.recipe
        for name, recipe in (("recipe", self.recipe), ("pretrain.recipe", first_recipe)):
            centred = recipe is None or recipe.normalize or self.model.input_norm
            if self.design.first.name == "binary" and not centred:
                raise ValueError(
                    f"first=binary needs {name}.normalize=true or model.input_norm=true: "
                    "pixels from 0 to 1 have one sign"
                )
        trainer = self.trainer
        if trainer.binary_forward == "packed" and (trainer.accelerator == "gpu" or trainer.compile):
            field = "trainer.accelerator=gpu" if trainer.accelerator == "gpu" else "trainer.compile=true"
            raise ValueError(
                f"trainer.binary_forward=packed counts bits with the CPU kernels and {field} uses torch's operations: "
                "choose trainer.binary_forward=float"
            )
        if self.trainer.name == "smoke" and first_recipe is not None and first_recipe.epochs > 1:
            raise ValueError(
                f"trainer=smoke does not cut pretrain.recipe.epochs={first_recipe.epochs}: "
                "give pretrain.recipe.epochs=1"
            )
        if self.recipe.precision == "bf16" and self.design.output.name == "popcount":
            raise ValueError(
                "output=popcount cannot be combined with recipe.precision=bf16: its values lie around K / 2, "
                "where bfloat16 no longer tells neighbours apart"
            )
        # A smoke run is cut short before its milestones, which is its point.
        if self.trainer.name != "smoke":
            check_milestones(self.recipe, "recipe")
            if self.design.pretrain.recipe is not None:
                check_milestones(self.design.pretrain.recipe, "pretrain.recipe")
        if self.design.pretrain.recipe is not None:
            check_data(self.data, self.design.pretrain.recipe)


#: A report adds what the file holds; file systems end at 255.
LONGEST_STUDY = 100


def check_study(name: str) -> None:
    """Refuse a name that cannot be a file's, or is one of the report's own."""
    if name in ("index", "other-runs"):
        raise SettingsError(f"study={name} is the name of one of the report's own pages: choose another")
    if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise SettingsError(f"study={name} becomes the name of a file: use letters, digits, - and _")
    if len(name) > LONGEST_STUDY:
        raise SettingsError(
            f"study={name} has {len(name)} letters and becomes part of names of files: use at most {LONGEST_STUDY}"
        )


def check_model(model: ResNetESizes | BinaryDenseNetSizes, design: Design) -> None:
    """Refuse axes that the family cannot have, naming both options."""
    if isinstance(model, BinaryDenseNetSizes):
        _check_dense(model, design)
    else:
        _check_resnet_e(model, design)


def _check_dense(model: BinaryDenseNetSizes, design: Design) -> None:
    if design.order.name != "pre":
        raise ValueError(
            f"order={design.order.name} does not apply to model={model.name}: "
            "its dense layers are BN, sign, conv (order=pre)"
        )
    if design.shortcut.name != "concat":
        raise ValueError(
            f"shortcut={design.shortcut.name} does not apply to model={model.name}: "
            "its layers are concatenated (shortcut=concat)"
        )
    rates = design.downsample.reduction
    if rates is not None and len(rates) != len(model.reduction):
        raise ValueError(
            f"downsample.reduction={list(rates)} does not apply to model={model.name}, which has "
            f"{len(model.reduction)} transitions: give one rate for each"
        )
    if design.growth.match in ("size", "macs") and design.bottleneck.by is not None:
        raise ValueError(
            f"growth.match={design.growth.match} cannot be combined with bottleneck={design.bottleneck.name}: only one "
            "of them can decide the sizes"
        )
    with_growth(model, design.growth)


def _check_resnet_e(model: ResNetESizes, design: Design) -> None:
    if design.shortcut.name == "concat":
        raise ValueError(
            f"shortcut=concat does not apply to model={model.name}: choose every_conv, every_block or none"
        )
    downsample = design.downsample
    if design.shortcut.name == "none" and downsample.precision == "binary":
        raise ValueError(
            "downsample=binary does nothing with shortcut=none, which has no 1x1 convolutions: leave it at fp"
        )
    if downsample.relu != (downsample.precision == "fp"):
        raise ValueError(
            f"downsample.relu=false does not apply to model={model.name}: no ReLU stands before its 1x1 convolutions"
        )
    if downsample.layout != "max_pool_conv" or downsample.reduction is not None:
        raise ValueError(
            f"downsample={downsample.name} with its layout and reduction rates does not apply to model={model.name}: "
            "choose fp or binary, or a dense network"
        )
    if design.growth.name != "default":
        raise ValueError(f"growth={design.growth.name} does not apply to model={model.name}: choose a dense network")
    if design.bottleneck.name != "none":
        for channels in model.channels:
            if scaled(channels, model.width) % 4 != 0:
                raise ValueError(
                    f"bottleneck={design.bottleneck.name} needs a quarter of {scaled(channels, model.width)} features: "
                    "choose model.width such that all of model.channels are multiples of 4"
                )


def with_growth(model: BinaryDenseNetSizes, growth: Growth) -> BinaryDenseNetSizes:
    """The sizes with ``growth.rate`` and the layers that ``growth.match`` asks for; before any search for equality.

    Raises ValueError where the published rule, layers times rate kept, leaves no whole layers.
    """
    if growth.rate is None:
        return model
    layers = model.layers_per_stage
    if growth.match != "none":
        exact = [n * model.growth / growth.rate for n in layers]
        if growth.match == "published" and any(n != int(n) for n in exact):
            raise ValueError(
                f"growth={growth.name} with growth.match=published needs model.layers_per_stage={list(layers)} times "
                f"model.growth={model.growth} to be multiples of {growth.rate} in each stage: choose "
                "growth.match=size, macs or none, or other layers"
            )
        layers = tuple(max(1, round(n)) for n in exact)
    return replace(model, growth=growth.rate, layers_per_stage=layers)


def reduction_rates(model: BinaryDenseNetSizes, design: Design) -> tuple[float, ...]:
    """The rate of each transition: the design's where it has some, else the model's."""
    return model.reduction if design.downsample.reduction is None else design.downsample.reduction


FOLDER_AUGMENTS = ("random_crop", "resized_crop")


def check_data(data: Data, recipe: Recipe) -> None:
    """Refuse an augmentation made for another kind of data, naming both options."""
    if data.name == "image_folder" and recipe.augment.name not in FOLDER_AUGMENTS:
        raise ValueError(
            f"recipe/augment={recipe.augment.name} does not apply to data=image_folder: "
            f"choose one of {', '.join(FOLDER_AUGMENTS)}"
        )
    if data.name != "image_folder" and recipe.augment.name in FOLDER_AUGMENTS:
        raise ValueError(
            f"recipe/augment={recipe.augment.name} does not apply to data={data.name}, whose images are all of one "
            "size: choose one of none, shift, crop_flip, level3"
        )
    if recipe.augment.name == "level3" and len(data.mean) != 3:
        raise ValueError(f"recipe/augment=level3 changes colours and data={data.name} is grey: choose another augment")
    if len(data.mean) != len(data.std):
        raise ValueError(
            f"data.mean={list(data.mean)} and data.std={list(data.std)} must have one number a channel each"
        )


def check_milestones(recipe: Recipe, name: str) -> None:
    """Refuse milestones that no epoch reaches; ``name`` is the recipe's on the command line."""
    schedule = recipe.schedule
    if isinstance(schedule, StepSchedule) and any(epoch >= recipe.epochs for epoch in schedule.milestones):
        raise ValueError(
            f"{name}.schedule.milestones={list(schedule.milestones)} reach past {name}.epochs={recipe.epochs}: give "
            f"both, as in {name}.epochs=20 {name}.schedule.milestones=[10,15]"
        )


# --- reading -----------------------------------------------------------------------------------------------------

_SETTINGS: TypeAdapter[Settings] = TypeAdapter(Settings)


def read_settings(config: Mapping[str, Any]) -> Settings:
    """Check a composed configuration (plain containers, axes at top level) and return it as values.

    Raises SettingsError with one sentence for the first thing that is wrong.
    """
    others = {f.name for f in fields(Settings)} - {"design"}
    nested = {key: value for key, value in config.items() if key not in AXES}
    nested["design"] = {key: value for key, value in config.items() if key in AXES}
    for key in others - {"trainer", "tracking", "runs", "study"}:
        if key not in config:
            raise SettingsError(f"{key} is missing from the configuration")
    _refuse_nonnumbers(nested, ())
    try:
        # Through JSON: strict checking there takes a list for a tuple, and what JSON cannot hold has no place here.
        return _SETTINGS.validate_json(json.dumps(nested, allow_nan=False))
    except ValidationError as error:
        raise SettingsError(_sentence(error, config)) from None


def _refuse_nonnumbers(value: Any, path: tuple[str, ...]) -> None:
    """NaN and infinity are floats to Python and nothing to JSON: name the first one."""
    if isinstance(value, float) and not isfinite(value):
        name = ".".join(step for step in path if step != "design")
        raise SettingsError(f"{name}={value}: input should be a finite number")
    if isinstance(value, Mapping):
        for key, item in value.items():
            _refuse_nonnumbers(item, (*path, str(key)))
    if isinstance(value, list | tuple):
        for position, item in enumerate(value):
            _refuse_nonnumbers(item, (*path, str(position)))


def _sentence(error: ValidationError, config: Mapping[str, Any]) -> str:
    """The first complaint in the words of the command line: field, value, choices."""
    first = error.errors(include_url=False)[0]
    # Union members appear in the path under their tag; what the person typed has no such step.
    path = [str(step) for step in first["loc"] if step != "design"]
    value: Any = config
    steps = []
    for step in path:
        if isinstance(value, Mapping) and step in value:
            value = value[step]
            steps.append(step)
        elif isinstance(value, list | tuple) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
            steps.append(step)
        elif step == path[-1] and first["type"] in ("unexpected_keyword_argument", "missing", "missing_argument"):
            steps.append(step)
    name = ".".join(steps)
    kind = first["type"]
    if kind == "value_error":
        return str(first["ctx"]["error"])
    if kind == "union_tag_invalid":
        return f"{name}.name={first['ctx']['tag']}: input should be one of {first['ctx']['expected_tags']}"
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"{name} is not a setting"
    if kind.startswith("missing"):
        return f"{name} is missing from the configuration"
    message = first["msg"]
    return f"{name}={_shown(value)}: {message[0].lower()}{message[1:]}"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
