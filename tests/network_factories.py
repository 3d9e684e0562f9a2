"""Designs and sizes for tests of networks: a baseline of which each test changes what it is about."""

from __future__ import annotations

from typing import Any

from bnn_ablate.design import (
    Activations,
    Bottleneck,
    Design,
    Downsample,
    Ede,
    Estimator,
    First,
    Grad,
    Growth,
    Init,
    Last,
    Latent,
    Order,
    Output,
    Padding,
    Pretrain,
    Scaling,
    Shortcut,
    Stem,
    SwishSign,
    Weights,
)
from bnn_ablate.settings import BinaryDenseNetSizes, ResNetESizes

BASELINE: dict[str, Any] = {
    "scaling": "none",
    "output": "signed",
    "grad": "ste",
    "latent": "free",
    "init": "he_fan_in",
    "downsample": "fp",
    "shortcut": "every_conv",
    "order": "post",
    "padding": "minus_one",
    "stem": "cifar",
    "weights": "sign",
    "activations": "sign",
    "first": "fp",
    "last": "fp",
    "bottleneck": "none",
    "growth": "default",
    "pretrain": "none",
    # The fields beside the name, under their own names, which no two axes share.
    "scaling_gradient": False,
    "side": "symmetric",
    "function": None,
    "layout": "max_pool_conv",
    "reduction": None,
    "by": None,
    "rate": None,
    "match": "none",
    "from_file": None,
    "pretrain_recipe": None,
}

BROUGHT: dict[Any, dict[str, Any]] = {
    "float": {"padding": "zero", "function": "relu"},
    "fp_high_reduction": {"layout": "conv_avg_pool", "reduction": (2.0, 2.0, 2.0)},
    "binary_low_reduction": {"layout": "conv_avg_pool", "reduction": (1.0, 1.4, 1.4)},
}


def make_design(clip: float | None = None, **options: Any) -> Design:
    """The baseline with ``options`` as on the command line: make_design(padding="zero", grad="ede", side="same").

    ``clip`` is 1.0 where it is not given and the estimator needs one. Options bring what they bring in conf/:
    activations="float" a function and borders of zeros, ``downsample`` its factors.
    """
    assert set(options) <= {*BASELINE, "relu"}
    chosen = (
        BASELINE | BROUGHT.get(options.get("activations"), {}) | BROUGHT.get(options.get("downsample"), {}) | options
    )
    precision = chosen["downsample"].split("_")[0]
    return Design(
        scaling=Scaling(name=chosen["scaling"], gradient=chosen["scaling_gradient"]),
        output=Output(name=chosen["output"]),
        grad=make_estimator(chosen["grad"], clip),
        latent=Latent(name=chosen["latent"]),
        init=Init(name=chosen["init"]),
        downsample=Downsample(
            name=chosen["downsample"],
            precision=precision,
            relu=chosen.get("relu", precision == "fp"),
            layout=chosen["layout"],
            reduction=chosen["reduction"],
        ),
        shortcut=Shortcut(name=chosen["shortcut"]),
        order=Order(name=chosen["order"]),
        padding=Padding(name=chosen["padding"], side=chosen["side"]),
        stem=Stem(name=chosen["stem"]),
        weights=Weights(name=chosen["weights"]),
        activations=Activations(name=chosen["activations"], function=chosen["function"]),
        first=First(name=chosen["first"]),
        last=Last(name=chosen["last"]),
        bottleneck=Bottleneck(name=chosen["bottleneck"], by=chosen["by"]),
        growth=Growth(name=chosen["growth"], rate=chosen["rate"], match=chosen["match"]),
        pretrain=Pretrain(name=chosen["pretrain"], from_file=chosen["from_file"], recipe=chosen["pretrain_recipe"]),
    )


def make_estimator(name: str, clip: float | None = None) -> Estimator:
    """An estimator with the parameters of conf/; ``clip`` of the older ones is 1.0 where it is not given."""
    if name.startswith("swishsign"):
        return SwishSign(name=name, beta=5.0, clip=clip)
    if name.startswith("ede"):
        return Ede(name=name, t_min=0.1, t_max=10.0, clip=clip)
    return Grad(name=name, clip=1.0 if clip is None else clip)


def make_dense_design(**options: Any) -> Design:
    return make_design(**{"order": "pre", "shortcut": "concat"} | options)


def make_resnet_e(**sizes: Any) -> ResNetESizes:
    """Two stages of one pair of convolutions on 16 and 32 features."""
    small = {
        "name": "small",
        "family": "resnet_e",
        "blocks_per_stage": (1, 1),
        "channels": (16, 32),
        "stem_features": 16,
        "width": 1.0,
        "input_norm": True,
    }
    return ResNetESizes(**small | sizes)


def make_binary_densenet(**sizes: Any) -> BinaryDenseNetSizes:
    """Two stages of two and one layers of 16 features."""
    small = {
        "name": "small",
        "family": "binary_densenet",
        "layers_per_stage": (2, 1),
        "dilation": (1, 1),
        "reduction": (1.5,),
        "growth": 16,
        "init_features": 16,
        "width": 1.0,
        "input_norm": False,
    }
    return BinaryDenseNetSizes(**small | sizes)
