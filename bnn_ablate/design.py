"""The design axes of a binary network: the glossary of the study.

Every axis is a small frozen dataclass whose ``name`` is the option chosen on the command line (``grad=ste`` is the
file conf/grad/ste.yaml, which fills :class:`Grad`). :class:`Design` holds one of each and travels whole through the
program, so a new axis is one field here, one folder in conf/, and the one block that reads it.

There are no defaults: conf/ is the only home of options and defaults. This module imports no torch. What cancels and
what is confounded with what: docs/AXES.md.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from bnn_ablate.checked import STRICT, PositiveFloat, PositiveInt, hashed_as, hashed_from, not_hashed
from bnn_ablate.recipe import Recipe

# --- the arithmetic of one layer ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Scaling:
    """Which real factor multiplies the output of a binary convolution.

    ``none``: y = W_b * X_b.
    ``channel``: y = alpha_o (W_b * X_b), alpha_o = mean of abs(W) over (c_in, k_h, k_w).
    ``xnor``: y = alpha_o K (W_b * X_b), K = box filter 1/(k_h k_w) over the channel mean of abs(x), zero-padded,
    with the stride of the convolution. Source: Rastegari et al. 2016 (arXiv 1603.05279), section 3.2; this is what
    "scaling" means in the logs of Bethge et al. 2019 (arXiv 1906.08637).
    ``learned``: y = gamma_o (W_b * X_b), gamma_o a parameter that starts at alpha_o. Source: Bulat & Tzimiropoulos 2019
    (arXiv 1909.13863), one factor a channel.

    Where a BatchNorm follows the convolution, alpha and gamma cancel up to eps; K does not. ``gradient`` lets the
    gradient flow through alpha and K; the authors stop it.
    """

    name: Literal["none", "channel", "xnor", "learned"]
    gradient: bool

    def __post_init__(self) -> None:
        if self.gradient and self.name not in ("channel", "xnor"):
            why = "has no factor" if self.name == "none" else "has a parameter of its own"
            raise ValueError(f"scaling.gradient=true needs scaling=channel or scaling=xnor: scaling={self.name} {why}")


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
class SwishSign:
    """The derivative of SS(x) = 2 s(b x) (1 + b x (1 - s(b x))) - 1, s the logistic function and b = ``beta``.

    dSS/dx = b (2 - b x tanh(b x / 2)) / (1 + cosh(b x)), which is negative for large abs(x). Source: Darabi et al. 2018
    (arXiv 1812.11800), BNN+. ``swishsign`` on activations, weights plain; ``swishsign_both`` on both, as published.
    ``clip`` cancels the gradient of activations beyond it; null, as published, does not.
    """

    name: Literal["swishsign", "swishsign_both"]
    beta: PositiveFloat
    clip: PositiveFloat | None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Ede:
    """The derivative of k tanh(t x), which narrows as training goes on: k t (1 - tanh^2(t x)).

    t = ``t_min`` (``t_max`` / ``t_min``)^(epoch / epochs), epochs counted from 0, and k = max(1 / t, 1). Source: Qin et
    al. 2020 (arXiv 1909.10788), IR-Net. ``ede`` on activations, weights plain; ``ede_both`` on both, as published, but
    that their weights are centred and divided by their deviation first: latent weights here are smaller, and the slope
    on them is flatter. ``clip`` cancels the gradient of activations beyond it; null, as published, does not.
    """

    name: Literal["ede", "ede_both"]
    t_min: PositiveFloat
    t_max: PositiveFloat
    clip: PositiveFloat | None

    def __post_init__(self) -> None:
        if self.t_max < self.t_min:
            raise ValueError(f"grad.t_max={self.t_max} must not be below grad.t_min={self.t_min}")


#: The estimators of sign's gradient.
Estimator = Grad | SwishSign | Ede


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Weights:
    """Which values the weights of the convolutions on this axis have when they are used.

    ``sign``: W_b = sign(W). ``magnitude_aware``: alpha_o sign(W), alpha detached, the gradient passing where
    abs(w) <= 1, so that it grows with the magnitudes. Source: Liu et al. 2018 (arXiv 1808.00278), Bi-Real Net, as
    Larq's MagnitudeAwareSign has it. Where a BatchNorm follows, alpha cancels in the gradient too: what is
    left is that window. ``float``: W itself, for float twins and for pretraining.
    """

    name: Literal["sign", "magnitude_aware", "float"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Activations:
    """Which values the inputs of those convolutions have: ``sign``, or ``float``, a real ``function`` in its place.

    ``relu``: max(x, 0); ``clip``: min(max(x, -1), 1); ``leaky_clip``: the same with slope 0.1 beyond. Their borders are
    zeros.
    """

    name: Literal["sign", "float"]
    function: Literal["relu", "clip", "leaky_clip"] | None

    def __post_init__(self) -> None:
        if (self.name == "float") != (self.function is not None):
            shown = "null" if self.function is None else self.function
            raise ValueError(
                f"activations.function={shown} does not go with activations={self.name}: sign takes none, float takes "
                "relu, clip or leaky_clip"
            )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Latent:
    """Latent weights after a step: ``free`` (the authors) or ``clamped`` to +-grad.clip (Larq's WeightClip)."""

    name: Literal["free", "clamped"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Output:
    """Range of a binary convolution's output: ``signed`` y in [-K, K], or the authors' ``popcount`` (y + K) / 2.

    BatchNorm absorbs it where one follows; with order=pre none does, and popcount halves the branch.
    """

    name: Literal["signed", "popcount"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Init:
    """Initial latent weights of binary convolutions, all with mean 0.

    ``he_fan_in``: normal, variance 2 / fan_in (the authors). ``xavier``: normal, variance 2 / (fan_in + fan_out)
    (bitorch). ``glorot``: that variance from a normal cut off at two standard deviations (Keras, Larq).
    """

    name: Literal["he_fan_in", "xavier", "glorot"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Padding:
    """Value at the border of a binary convolution: ``minus_one`` (the authors), ``zero`` (Larq), ``plus_one``.

    ``side`` says where the border lies, in all convolutions and max poolings of the network: ``symmetric``, (k - 1) / 2
    pixels on each side, or TensorFlow's ``same``, no more than the output of ceil(size / stride) needs and the odd
    pixel at the bottom and the right.
    """

    name: Literal["minus_one", "zero", "plus_one"]
    side: Literal["symmetric", "same"] = hashed_from("symmetric")


# --- the shape of the network ------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Downsample:
    """The 1x1 convolutions where channels change, in separate factors.

    ``precision``: ``fp`` (the paper's advice) or ``binary``. The others are dense networks' only: ``relu`` before the
    convolution; ``layout`` of the transition, ``max_pool_conv`` (BN, MaxPool, [ReLU,] conv) or ``conv_avg_pool`` (BN,
    [ReLU,] conv, AvgPool, the 2018 networks); ``reduction``, one rate a transition in place of ``model.reduction``.
    ``binary_2018`` is binary in that layout; ``fp_high_reduction`` and ``binary_low_reduction``
    are the two rows of the paper's table, which change all of them.
    """

    name: Literal["fp", "binary", "binary_2018", "fp_high_reduction", "binary_low_reduction"] = not_hashed(
        "the factors say what it is"
    )
    precision: Literal["fp", "binary"] = hashed_as("name")
    relu: bool = hashed_from(lambda downsample: downsample.precision == "fp")
    layout: Literal["max_pool_conv", "conv_avg_pool"] = hashed_from("max_pool_conv")
    reduction: tuple[Annotated[float, Field(ge=1)], ...] | None = hashed_from(None)

    def __post_init__(self) -> None:
        if not self.name.startswith(self.precision):
            raise ValueError(
                f"downsample.precision={self.precision} does not go with downsample={self.name}: "
                f"choose downsample={self.precision}"
            )
        if self.precision == "binary" and self.relu:
            raise ValueError(
                f"downsample.relu=true cannot be combined with downsample={self.name}: the sign after a ReLU is +1 "
                "everywhere"
            )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Bottleneck:
    """Whether 3x3 convolutions stand between 1x1 convolutions; every one of them is binary, with its own BatchNorm.

    ``none``: 3x3 convolutions only. ``classic``: each pair of 3x3 of a ResNetE becomes 1x1 to a quarter of the
    features, 3x3, 1x1 back (He et al. 2016, arXiv 1512.03385); each 3x3 of a dense network has a 1x1 to 4 growth
    rates before it (Huang et al. 2017, arXiv 1608.06993). ``classic_macs`` and ``classic_size`` are matched: features
    (``by=width``) or blocks (``by=blocks``) are multiplied until combined MACs, or stored bits, equal the
    unbottlenecked network's within 2 %; where a common factor is too coarse, single stages are moved. Only matched
    contrasts say something about bottlenecks: ``classic`` alone has 15.8 times fewer binary weights in ResNetE18 and
    more than ``none`` in BinaryDenseNet28.
    """

    name: Literal["none", "classic", "classic_macs", "classic_size"]
    by: Literal["width", "blocks"] | None

    def __post_init__(self) -> None:
        matched = self.name in ("classic_macs", "classic_size")
        if matched and self.by is None:
            raise ValueError(f"bottleneck.by=null does not go with bottleneck={self.name}: choose width or blocks")
        if not matched and self.by is not None:
            raise ValueError(f"bottleneck.by={self.by} does nothing with bottleneck={self.name}, which matches nothing")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Growth:
    """Growth rate k of a dense network: ``default`` is the model's own, the others set ``rate``.

    ``match`` says what the model keeps then: ``none``, its layers; ``published``, layers times rate, as the networks of
    the paper's table do (16 layers of 64, 8 of 128, 4 of 256: equal in ImageNet MiB only); ``size`` and ``macs``, those
    layers and a rate moved from the nominal one until stored bits, or combined MACs, are within 2 % of the model's own
    (and, where transitions round in too coarse steps, the features that the network begins with).
    """

    name: Literal["default", "k64", "k128", "k256"]
    rate: PositiveInt | None
    match: Literal["none", "published", "size", "macs"]

    def __post_init__(self) -> None:
        if self.name == "default" and (self.rate is not None or self.match != "none"):
            shown = f"rate={self.rate}" if self.rate is not None else f"match={self.match}"
            raise ValueError(f"growth.{shown} does nothing with growth=default: choose growth=k64, k128 or k256")
        if self.name != "default" and self.rate is None:
            raise ValueError(f"growth.rate=null does not go with growth={self.name}: choose growth=default")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Shortcut:
    """What a shortcut bypasses: ``every_conv`` (the E of ResNetE), ``every_block`` of two convolutions, ``none``.

    With ``none`` the branch that changes channels is dropped too. In a bottleneck ``every_conv`` bypasses the block and
    its 3x3 convolution, the only one that keeps its channels. ``concat`` is BinaryDenseNet's way, and only its.
    """

    name: Literal["every_conv", "every_block", "none", "concat"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Order:
    """Order inside a block: ``post`` (E1: sign, conv, BN, add) or ``pre`` (E2: BN, sign, conv, add; no BN after)."""

    name: Literal["post", "pre"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Stem:
    """The first layers. Never guessed from the image size.

    ``imagenet``: 7x7/2, BN, ReLU, MaxPool 3/2. ``grouped``: three 3x3 (stride 2, groups 1, 4, 8), each BN, ReLU, then
    MaxPool. ``cifar``: 3x3, BN (the authors' 2020 code). ``cifar_2018``: bare 3x3 (their code at the paper's time).
    Deviation: with order=pre theirs had a bias then, which the BatchNorm that follows takes away again.
    """

    name: Literal["imagenet", "grouped", "cifar", "cifar_2018"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class First:
    """Precision of the first convolution: ``fp`` (the rule: crucial layers stay in full precision) or ``binary``.

    Binary: the image itself is binarised, so it must be centred, by ``recipe.normalize`` or ``model.input_norm``.
    """

    name: Literal["fp", "binary"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Last:
    """Precision of the classifier: ``fp``, or ``binary``.

    Binary: [BN,] ReLU, mean, Linear becomes mean, BN, sign, binary 1x1 convolution, BN: the sign after a ReLU is +1
    everywhere, and sums of signs are too large for the softmax without a BatchNorm (Hubara et al. 2016, arXiv
    1602.02830).
    """

    name: Literal["fp", "binary"]


# --- the weights at the start ------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, config=STRICT | ConfigDict(validate_by_name=True, validate_by_alias=True))
class Pretrain:
    """Whose weights a run starts from: ``none`` (its own initial ones), or those of a float network trained before.

    ``relu``, ``clip`` and ``leaky_clip``: the same network with float weights and that function in the place of sign
    (see :class:`Activations`) is trained first, as a run of its own with the same seed, which all runs of that seed
    share. Then latent weights are taken over as they are, BatchNorms with their statistics; optimizer and schedule are
    fresh. ``recipe`` is the float run's, null the run's own. With ``from`` a checkpoint is given and nothing is trained
    first; ``file`` is for one that was trained in another way.
    """

    name: Literal["none", "relu", "clip", "leaky_clip", "file"]
    # The name on the command line, "from", is none in Python.
    from_file: Annotated[str | None, Field(alias="from")] = not_hashed("a place on disk: the file's bytes are hashed")
    recipe: Recipe | None

    def __post_init__(self) -> None:
        if self.name == "none" and self.from_file is not None:
            raise ValueError(
                f"pretrain.from={self.from_file} does nothing with pretrain=none: choose the activation that its "
                "network was trained with, pretrain=relu, clip or leaky_clip, or pretrain=file"
            )
        if self.name == "file" and self.from_file is None:
            raise ValueError("pretrain=file needs a checkpoint: give it as pretrain.from=FILE")
        if self.recipe is not None and (self.name == "none" or self.from_file is not None):
            what = f"pretrain={self.name}" if self.from_file is None else f"pretrain.from={self.from_file}"
            raise ValueError(f"pretrain.recipe does nothing with {what}: no float network is trained")


# --- all of them -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Design:
    """One choice on every axis. The field names are the folders of conf/ and the words of the command line."""

    scaling: Scaling
    output: Output
    grad: Annotated[Estimator, Field(discriminator="name")]
    latent: Latent
    init: Init
    downsample: Downsample
    shortcut: Shortcut
    order: Order
    padding: Padding
    stem: Stem
    weights: Weights = hashed_from(Weights(name="sign"))
    activations: Activations = hashed_from(Activations(name="sign", function=None))
    first: First = hashed_from(First(name="fp"))
    last: Last = hashed_from(Last(name="fp"))
    bottleneck: Bottleneck = hashed_from(Bottleneck(name="none", by=None))
    growth: Growth = hashed_from(Growth(name="default", rate=None, match="none"))
    pretrain: Pretrain = hashed_from(Pretrain(name="none", from_file=None, recipe=None))

    def __post_init__(self) -> None:
        weights, activations = f"weights={self.weights.name}", f"activations={self.activations.name}"
        if self.output.name == "popcount":
            if self.scaling.name != "none":
                raise ValueError(
                    f"output=popcount cannot be combined with scaling={self.scaling.name}: "
                    "the factors are defined for the signed output in [-K, K]"
                )
            for choice in (weights, activations):
                if not choice.endswith("=sign"):
                    raise ValueError(f"output=popcount cannot be combined with {choice}: it counts bits of both")
        if self.weights.name != "sign":
            if self.scaling.name != "none":
                why = "is scaled by alpha already" if self.weights.name == "magnitude_aware" else "needs no factor"
                raise ValueError(f"scaling={self.scaling.name} cannot be combined with {weights}, which {why}")
            if self.grad.name.endswith("_both"):
                raise ValueError(
                    f"grad={self.grad.name} cannot be combined with {weights}, whose gradient is its own: "
                    f"choose grad={self.grad.name.removesuffix('_both')}"
                )
        if self.weights.name == "float" and self.latent.name == "clamped":
            raise ValueError(f"latent=clamped does not apply to {weights}: there are no latent weights")
        if self.activations.name == "float":
            if self.padding.name != "zero":
                raise ValueError(
                    f"padding={self.padding.name} cannot be combined with {activations}, whose borders are zeros: "
                    "choose padding=zero"
                )
            if self.scaling.name == "xnor":
                raise ValueError(f"scaling=xnor cannot be combined with {activations}: K stands for their magnitude")
            read = self.weights.name == "sign" and self.grad.name.endswith("_both")
            if self.grad.name != "ste" and not read:
                raise ValueError(f"grad={self.grad.name} does nothing with {weights} {activations}: leave it at ste")
            if self.weights.name == "float" and self.pretrain.name != "none":
                raise ValueError(
                    f"pretrain={self.pretrain.name} does not apply to {weights} {activations}: it is the float network"
                )
        if self.latent.name == "clamped" and self.grad.clip is None:
            raise ValueError(
                f"latent=clamped needs a threshold: give it as grad.clip=VALUE, which also clips grad={self.grad.name}"
            )


#: The names of the axes, in the order of the glossary above.
AXES: tuple[str, ...] = tuple(f.name for f in fields(Design))
