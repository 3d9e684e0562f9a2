"""Designs and sizes for tests of networks: a baseline of which each test changes what it is about."""

from __future__ import annotations

from typing import Any

from bnn_ablate.design import (
    Design,
    Downsample,
    Grad,
    Init,
    Latent,
    Order,
    Output,
    Padding,
    Scaling,
    Shortcut,
    Stem,
)
from bnn_ablate.settings import BinaryDenseNetSizes, ResNetESizes


def make_design(clip: float = 1.0, scaling_gradient: bool = False, **options: Any) -> Design:
    """The baseline with ``options`` as on the command line: make_design(padding="zero", grad="approxsign")."""
    names = {
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
    }
    assert set(options) <= set(names)
    names |= options
    return Design(
        scaling=Scaling(name=names["scaling"], gradient=scaling_gradient),
        output=Output(name=names["output"]),
        grad=Grad(name=names["grad"], clip=clip),
        latent=Latent(name=names["latent"]),
        init=Init(name=names["init"]),
        downsample=Downsample(name=names["downsample"]),
        shortcut=Shortcut(name=names["shortcut"]),
        order=Order(name=names["order"]),
        padding=Padding(name=names["padding"]),
        stem=Stem(name=names["stem"]),
    )


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
