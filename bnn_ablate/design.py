"""The design axes of a binary network: the glossary of the study.

Every axis is a small frozen dataclass whose ``name`` is the option chosen on the command line (``grad=ste`` is the
file conf/grad/ste.yaml, which fills :class:`Grad`). :class:`Design` holds one of each and travels whole through the
program, so a new axis is one field here, one folder in conf/, and the one block that reads it.

There are no defaults: conf/ is the only home of options and defaults. This module imports no torch.
"""

from __future__ import annotations

from dataclasses import field, fields
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

#: Values are checked strictly: the text "1" is no number, an unknown field is an error, NaN is no value.
STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

PositiveInt = Annotated[int, Field(gt=0)]
NonNegativeInt = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
#: From 0 to just below 1.
Fraction = Annotated[float, Field(ge=0, lt=1)]


def hashed_from(value: Any) -> Any:
    """A field added after runs exist: ``value`` is what those runs had, and it stays out of the run id."""
    return field(metadata={"older_runs_had": value})


def not_hashed(reason: str) -> Any:
    """A field that cannot change a result (a place on disk, a display option): it stays out of the run id."""
    return field(metadata={"not_hashed": reason})


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Scaling:
    """Which real factor multiplies the output of a binary convolution.

    ``none``: y = W_b * X_b.
    ``channel``: y = alpha_o (W_b * X_b), alpha_o = mean of abs(W) over (c_in, k_h, k_w).
    ``xnor``: y = alpha_o K (W_b * X_b), K = box filter 1/(k_h k_w) over the channel mean of abs(x), zero-padded,
    with the stride of the convolution. Source: Rastegari et al. 2016 (arXiv 1603.05279), section 3.2; this is what
    "scaling" means in the logs of Bethge et al. 2019 (arXiv 1906.08637).

    ``gradient`` lets the gradient flow through alpha and K; the authors stop it.
    """

    name: Literal["none", "channel", "xnor"]
    gradient: bool

    def __post_init__(self) -> None:
        if self.name == "none" and self.gradient:
            raise ValueError("scaling.gradient=true needs scaling=channel or scaling=xnor: scaling=none has no factor")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Grad:
    """The backward of sign, and the clip threshold t_clip of activations.

    ``ste``: the gradient passes where abs(x) <= clip. ``approxsign``: 2 - 2 abs(x) where abs(x) <= min(1, clip)
    (Bethge et al. 2019, equation 3; Liu et al. 2018, arXiv 1808.00278). ``approxsign_both``: the same window of
    abs(w) <= 1 on the latent weights too, as in the authors' logs; otherwise weights pass the gradient unclipped.
    """

    name: Literal["ste", "approxsign", "approxsign_both"]
    clip: float

    def __post_init__(self) -> None:
        if self.clip <= 0:
            raise ValueError(f"grad.clip={self.clip} must be greater than 0")
        if self.name != "ste" and self.clip > 1:
            raise ValueError(
                f"grad.clip={self.clip} does nothing with grad={self.name}, whose own window is abs(x) <= 1: "
                "leave it at 1.0 or choose grad=ste"
            )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Latent:
    """Latent weights after a step: ``free`` (the authors) or ``clamped`` to +-grad.clip (Larq's WeightClip)."""

    name: Literal["free", "clamped"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Output:
    """Range of a binary convolution's output: ``signed`` y in [-K, K], or the authors' ``popcount`` (y + K) / 2."""

    name: Literal["signed", "popcount"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Init:
    """Initial latent weights of binary convolutions, all with mean 0.

    ``he_fan_in``: normal, variance 2 / fan_in (the authors). ``xavier``: normal, variance 2 / (fan_in + fan_out)
    (bitorch). ``glorot``: that variance from a normal cut off at two standard deviations (Keras, Larq).
    """

    name: Literal["he_fan_in", "xavier", "glorot"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Downsample:
    """Precision of the 1x1 convolutions where channels change: ``fp`` (the paper's advice) or ``binary``."""

    name: Literal["fp", "binary"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Shortcut:
    """What a shortcut bypasses: ``every_conv`` (the E of ResNetE), ``every_block`` of two convolutions, ``none``.

    With ``none`` the branch that changes channels is dropped too. ``concat`` is BinaryDenseNet's way, and only its.
    """

    name: Literal["every_conv", "every_block", "none", "concat"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Order:
    """Order inside a block: ``post`` (E1: sign, conv, BN, add) or ``pre`` (E2: BN, sign, conv, add; no BN after)."""

    name: Literal["post", "pre"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Padding:
    """Value at the border of a binary convolution: ``minus_one`` (the authors), ``zero`` (Larq), ``plus_one``."""

    name: Literal["minus_one", "zero", "plus_one"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Stem:
    """The first layers, always in full precision. Never guessed from the image size.

    ``imagenet``: 7x7/2, BN, ReLU, MaxPool 3/2. ``grouped``: three 3x3 (stride 2, groups 1, 4, 8), each BN, ReLU, then
    MaxPool. ``cifar``: 3x3, BN (the authors' 2020 code). ``cifar_2018``: bare 3x3 (their code at the paper's time).
    Deviation: with order=pre theirs had a bias then, which the BatchNorm that follows takes away again.
    """

    name: Literal["imagenet", "grouped", "cifar", "cifar_2018"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Design:
    """One choice on every axis. The field names are the folders of conf/ and the words of the command line."""

    scaling: Scaling
    output: Output
    grad: Grad
    latent: Latent
    init: Init
    downsample: Downsample
    shortcut: Shortcut
    order: Order
    padding: Padding
    stem: Stem

    def __post_init__(self) -> None:
        if self.output.name == "popcount" and self.scaling.name != "none":
            raise ValueError(
                f"output=popcount cannot be combined with scaling={self.scaling.name}: "
                "the factors are defined for the signed output in [-K, K]"
            )


#: The names of the axes, in the order of the glossary above.
AXES: tuple[str, ...] = tuple(f.name for f in fields(Design))
