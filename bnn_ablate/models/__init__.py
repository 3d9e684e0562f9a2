"""Networks from sizes and a design."""

from torch import nn

from bnn_ablate.design import Design
from bnn_ablate.models.binary_densenet import BinaryDenseNet
from bnn_ablate.models.matching import Fitted, fit_sizes
from bnn_ablate.models.resnet_e import ResNetE
from bnn_ablate.settings import BinaryDenseNetSizes, ResNetESizes, Settings, check_model

__all__ = ["Fitted", "build_network", "fit_sizes", "shapes_of"]


def build_network(
    model: ResNetESizes | BinaryDenseNetSizes, design: Design, *, in_channels: int, num_classes: int, image_size: int
) -> nn.Module:
    """The network of ``model``'s sizes under ``design``: images (N, in_channels, H, W) -> logits (N, num_classes).

    ``image_size`` (pixels a side) matters only to sizes that are matched by MACs (:func:`fit_sizes`); the network takes
    images of any size. Initial weights come from torch's global generator, which the caller seeds. Raises ValueError
    where the family cannot have an option of the design, or where ``model.width`` leaves no whole features.
    """
    check_model(model, design)
    shapes = {"in_channels": in_channels, "num_classes": num_classes}
    fitted = fit_sizes(model, design, **shapes, image_size=image_size).model
    if isinstance(fitted, ResNetESizes):
        return ResNetE(fitted, design, **shapes)
    return BinaryDenseNet(fitted, design, **shapes)


def shapes_of(settings: Settings) -> dict[str, int]:
    """What a network must know of the images: channels, classes, pixels a side."""
    data = settings.data
    return {"in_channels": len(data.mean), "num_classes": data.num_classes, "image_size": data.image_size}
