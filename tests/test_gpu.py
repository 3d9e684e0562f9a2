"""What only a GPU can show; a machine without one skips it."""

from itertools import product

import pytest
import torch

from bnn_ablate.binarize import signs
from bnn_ablate.composing import network_settings
from bnn_ablate.layers import BinaryConv2d
from bnn_ablate.provenance import pin_arithmetic
from bnn_ablate.trained import new_network

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")


@pytest.mark.parametrize(
    ("channels", "pixels", "stride", "padding"),
    [
        (channels, pixels, stride, padding)
        for (channels, pixels), stride, padding in product(
            ((64, 32), (128, 16), (256, 8), (512, 4)), (1, 2), ("minus_one", "zero", "plus_one")
        )
    ],
)
def test_sums_of_signs_are_whole_numbers_and_those_of_float64(
    channels: int, pixels: int, stride: int, padding: str
) -> None:
    pin_arithmetic(1)
    design = network_settings([f"padding={padding}"]).design
    torch.manual_seed(0)
    layer = BinaryConv2d(channels, channels, 3, stride=stride, dilation=1, design=design)
    x = torch.randn(128, channels, pixels, pixels)
    border = {"minus_one": -1.0, "zero": 0.0, "plus_one": 1.0}[padding]
    read = torch.nn.functional.pad(signs(x).double().cuda(), (1, 1, 1, 1), value=border)
    expected = torch.nn.functional.conv2d(read, signs(layer.weight.detach()).double().cuda(), stride=stride)

    with torch.no_grad():
        y = layer.cuda()(x.cuda().contiguous(memory_format=torch.channels_last))

    assert torch.equal(y.double(), expected)


def test_a_forward_leaves_float32_as_it_was() -> None:
    pin_arithmetic(1)
    network = new_network(network_settings(["data=cifar10", "model.width=0.25"])).cuda()

    network(torch.randn(8, 3, 32, 32, device="cuda")).sum().backward()

    assert not torch.backends.cudnn.allow_tf32
