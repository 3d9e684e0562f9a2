"""Networks from sizes and a design."""

from torch import nn

from bnn_ablate.design import Design
from bnn_ablate.models.binary_densenet import BinaryDenseNet
from bnn_ablate.models.resnet_e import ResNetE
from bnn_ablate.settings import BinaryDenseNetSizes, ResNetESizes, check_model

__all__ = ["build_network"]


def build_network(
    model: ResNetESizes | BinaryDenseNetSizes, design: Design, *, in_channels: int, num_classes: int
) -> nn.Module:
    """The network of ``model``'s sizes under ``design``: images (N, in_channels, H, W) -> logits (N, num_classes).

    Initial weights come from torch's global generator, which the caller seeds. Raises ValueError where the family
    cannot have an option of the design, or where ``model.width`` leaves no whole features.
    """
    check_model(model, design)
    if isinstance(model, ResNetESizes):
        return ResNetE(model, design, in_channels=in_channels, num_classes=num_classes)
    return BinaryDenseNet(model, design, in_channels=in_channels, num_classes=num_classes)
