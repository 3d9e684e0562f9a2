"""Everything a run is made from, as checked values: sizes, data, recipe, and where and how fast it runs.

:func:`read_settings` turns a composed configuration (plain dicts and lists) into one :class:`Settings`, or raises
:class:`SettingsError` with one sentence that names the field, the value and the valid choices. No torch here: the
command line's help and the answer of a finished run must not wait for its import.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from bnn_ablate.design import AXES, STRICT, Design, not_hashed

PositiveInt = Annotated[int, Field(gt=0)]
NonNegativeInt = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
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
    width: PositiveFloat
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
    width: PositiveFloat
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
    #: Only the first images of each set, for quick looks and smoke tests.
    limit_train: PositiveInt | Literal["all"]
    limit_test: PositiveInt | Literal["all"]
    #: Channel means and deviations of the pixels in [0, 1], used where ``recipe.normalize`` is true.
    mean: tuple[float, ...]
    std: tuple[PositiveFloat, ...]


# --- recipe ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Adam:
    """Adam (Kingma & Ba 2015), or rectified Adam (Liu et al. 2020). Decay acts on float layers only."""

    name: Literal["adam", "radam"]
    lr: PositiveFloat
    beta1: Fraction
    beta2: Fraction
    eps: PositiveFloat
    weight_decay: Annotated[float, Field(ge=0)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Sgd:
    """SGD with momentum. Decay acts on float layers only."""

    name: Literal["sgd"]
    lr: PositiveFloat
    momentum: Fraction
    weight_decay: Annotated[float, Field(ge=0)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class StepSchedule:
    """The rate is multiplied by ``factor`` when an epoch of ``milestones`` (counted from 0) begins.

    It rises linearly, step by step, over the first ``warmup_epochs``.
    """

    name: Literal["step"]
    milestones: tuple[PositiveInt, ...]
    factor: Annotated[float, Field(gt=0, lt=1)]
    warmup_epochs: NonNegativeInt

    def __post_init__(self) -> None:
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"recipe.schedule.milestones={list(self.milestones)} must rise from epoch to epoch")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CosineSchedule:
    """Linear warm-up over ``warmup_epochs``, then half a cosine from the full rate to 0 at the last step."""

    name: Literal["cosine"]
    warmup_epochs: NonNegativeInt


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NoAugment:
    """Training images as they are."""

    name: Literal["none"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CropAugment:
    """A random crop of the image, padded by ``padding`` zeros on each side; half are mirrored if ``flip``."""

    name: Literal["shift", "crop_flip"]
    padding: PositiveInt
    flip: bool


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Level3Augment:
    """MXNet's ``aug_level 3`` of the authors' 2018 CIFAR logs.

    Mirror; HSL jitter of at most ``hue`` degrees / 2 (0..180 scale), ``saturation`` and ``lightness`` (0..255 scale);
    rotation of at most ``rotate`` whole degrees; shear of at most ``shear``; aspect ratio within 1 +- ``aspect``.
    """

    name: Literal["level3"]
    hue: NonNegativeInt
    saturation: NonNegativeInt
    lightness: NonNegativeInt
    rotate: Annotated[int, Field(ge=0, le=180)]
    shear: Fraction
    aspect: Fraction


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RandomCropAugment:
    """Image folders: shorter side to ``resize`` pixels, a random crop, mirror; testing takes the centre crop."""

    name: Literal["random_crop"]
    resize: PositiveInt


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ResizedCropAugment:
    """Image folders: a crop of random area and aspect ratio (log-uniform), resized; mirror.

    Testing: shorter side to ``resize`` pixels, centre crop. Source: Szegedy et al. 2015 (arXiv 1409.4842), section 6.
    """

    name: Literal["resized_crop"]
    resize: PositiveInt
    min_area: Annotated[float, Field(gt=0, le=1)]
    max_aspect: Annotated[float, Field(ge=1)]
    filter: Literal["bilinear", "bicubic"]


Optimizer = Annotated[Adam | Sgd, Field(discriminator="name")]
Schedule = Annotated[StepSchedule | CosineSchedule, Field(discriminator="name")]
Augment = Annotated[
    NoAugment | CropAugment | Level3Augment | RandomCropAugment | ResizedCropAugment, Field(discriminator="name")
]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Recipe:
    """How a network is trained. ``batch_size`` counts the images of a step over all devices; loss: cross-entropy."""

    name: str = not_hashed("a label: the fields below say what it is")
    epochs: PositiveInt
    batch_size: PositiveInt
    precision: Literal["float32", "bf16"]
    #: Subtract the data's mean and divide by its deviation; the 2018 logs left that to the input BatchNorm.
    normalize: bool
    optimizer: Optimizer
    schedule: Schedule
    augment: Augment

    def __post_init__(self) -> None:
        if self.schedule.warmup_epochs >= self.epochs:
            raise ValueError(
                f"recipe.schedule.warmup_epochs={self.schedule.warmup_epochs} must be below recipe.epochs={self.epochs}"
            )


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
    runs: str = not_hashed("a place on disk")
    study: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")] | None = not_hashed(
        "a name for the table and the W&B group"
    )

    def __post_init__(self) -> None:
        if self.study in ("index", "other-runs"):
            raise ValueError(f"study={self.study} is the name of one of the report's own pages: choose another")
        check_model(self.model, self.design)
        check_data(self.data, self.recipe)


def check_model(model: ResNetESizes | BinaryDenseNetSizes, design: Design) -> None:
    """Refuse axes that the family cannot have, naming both options."""
    if model.family == "binary_densenet":
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
    elif design.shortcut.name == "concat":
        raise ValueError(
            f"shortcut=concat does not apply to model={model.name}: choose every_conv, every_block or none"
        )


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
    try:
        # Through JSON: strict checking there takes a list for a tuple, and what JSON cannot hold has no place here.
        return _SETTINGS.validate_json(json.dumps(nested, allow_nan=False))
    except ValidationError as error:
        raise SettingsError(_sentence(error, config)) from None


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
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"{name} is not a setting"
    if kind.startswith("missing"):
        return f"{name} is missing from the configuration"
    message = first["msg"]
    return f"{name}={_shown(value)}: {message[0].lower()}{message[1:]}"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
