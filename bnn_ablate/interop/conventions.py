"""What the libraries do without a file's saying so, as options of the design, and the network that a file asks for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bnn_ablate.composing import composed
from bnn_ablate.design import AXES
from bnn_ablate.identity import spelt
from bnn_ablate.job import settings_of
from bnn_ablate.settings import Settings, SettingsError

if TYPE_CHECKING:
    from bnn_ablate.interop.foreign import Kind

LIBRARIES: dict[Kind, str] = {"larq": "Larq Zoo", "bitorch": "bitorch"}

#: The networks of the paper that a library has; their sizes are in conf/model.
RESNET_E = {"order.name": "post", "shortcut.name": "every_conv"}
DENSE = {"order.name": "pre", "shortcut.name": "concat"}
MODELS: dict[str, dict[str, str]] = {
    "resnet_e18": RESNET_E,
    "resnet_e34": RESNET_E,
    "binary_densenet28": DENSE,
    "binary_densenet37": DENSE,
    "binary_densenet37_dilated": DENSE,
    "binary_densenet45": DENSE,
}

#: Larq pads with 0 and as TensorFlow does, bitorch with -1 and evenly.
PADDING: dict[Kind, dict[str, str]] = {
    "larq": {"padding.name": "zero", "padding.side": "same"},
    "bitorch": {"padding.name": "minus_one", "padding.side": "symmetric"},
}

#: What these networks have in both libraries. Written out, so that no conversion follows a change of conf/'s defaults.
COMMON: dict[str, Any] = {
    "model.input_norm": False,
    "weights.name": "sign",
    "activations.name": "sign",
    "activations.function": None,
    "scaling.name": "none",
    "scaling.gradient": False,
    "output.name": "signed",
    "downsample.name": "fp",
    "downsample.precision": "fp",
    "downsample.relu": True,
    "downsample.layout": "max_pool_conv",
    "downsample.reduction": None,
    "bottleneck.name": "none",
    "bottleneck.by": None,
    "growth.name": "default",
    "growth.rate": None,
    "growth.match": "none",
    "first.name": "fp",
    "last.name": "fp",
    "pretrain.name": "none",
    "pretrain.from": None,
    "pretrain.recipe": None,
}

#: How a network was trained: its weights do not tell, and what it computes does not depend on it.
TRAINING_AXES = ("grad", "latent", "init")


def network_settings(
    kind: Kind, model: str, stem: str, overrides: Sequence[str], *, file: str
) -> tuple[Settings, dict[str, Any]]:
    """Settings whose model and design are the file's network, and those two spelt as on the command line.

    ``overrides`` may set sizes (model.width=0.5) and say how the network was trained (grad, latent, init); what they
    say of the rest must be so. Raises SettingsError that names the override.
    """
    if model not in MODELS:
        raise SettingsError(f"--as {model} is no network that files hold: choose one of {', '.join(MODELS)}")
    for override in overrides:
        _refuse_other_settings(override, model)
    fixed = {"model.name": model, "stem.name": stem, **MODELS[model], **PADDING[kind], **COMMON}
    config = composed([_spelling(path, value) for path, value in fixed.items()], overrides)
    for path, value in fixed.items():
        axis, _, field = path.partition(".")
        asked = config[axis].get(field)
        if asked != value:
            raise SettingsError(
                f"{_spelling(path, asked)} contradicts {file}, a network of {LIBRARIES[kind]} with "
                f"{_spelling(path, value)}"
            )
    settings = settings_of(config)
    whole = spelt(settings)
    return settings, {name: whole[name] for name in (*AXES, "model")}


def _refuse_other_settings(override: str, model: str) -> None:
    key = override.partition("=")[0]
    if key == "model":
        raise SettingsError(f"{override}: --as {model} names the network; here model.NAME=VALUE changes its sizes")
    group = key.partition("@")[0].partition("/")[0].partition(".")[0]
    if group not in AXES and not key.startswith("model."):
        raise SettingsError(f"{override} does nothing here: give model.NAME=VALUE or one of {', '.join(AXES)}")


def _spelling(path: str, value: Any) -> str:
    """An option as on the command line: stem=cifar, padding.side=same."""
    text = value if isinstance(value, str) else json.dumps(value)
    return f"{path.removesuffix('.name')}={text}"
