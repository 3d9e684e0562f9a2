"""How a network is trained: optimizer, schedule, augmentation. conf/recipe/ holds the published ones. No torch here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from bnn_ablate.checked import STRICT, Fraction, NonNegativeInt, PositiveFloat, PositiveInt, not_hashed


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
    """Linear warm-up over ``warmup_epochs``, then half a cosine that would reach 0 at the step after the last one."""

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
