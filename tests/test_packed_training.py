"""Binary convolutions on bits in training, against torch's convolutions of signs in float64."""

from __future__ import annotations

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bnn_ablate.packed import available_kernels
from bnn_ablate.packed.training import PackedConvolution, Signs, has_gradients

#: Channels around the widths of lanes, words and blocks; sizes that fill tiles, and that do not.
CHANNELS = [(1, 1), (3, 16), (16, 16), (17, 33), (32, 3), (48, 20), (64, 64), (80, 130), (130, 66)]
#: kernel, stride, dilation, borders (left, right, top, bottom), height, width
GEOMETRIES = [
    (3, 1, 1, (1, 1, 1, 1), 5, 7),
    (3, 2, 1, (1, 1, 1, 1), 8, 6),
    (3, 2, 1, (0, 1, 0, 1), 6, 8),
    (3, 1, 2, (2, 2, 2, 2), 5, 5),
    (3, 2, 2, (2, 2, 2, 2), 7, 9),
    (1, 1, 1, (0, 0, 0, 0), 4, 5),
    (1, 2, 1, (0, 0, 0, 0), 5, 6),
    (5, 3, 1, (2, 2, 2, 2), 9, 8),
    (3, 1, 1, (0, 0, 0, 0), 3, 3),
]
CASES = [(*channels, *geometry) for channels, geometry in product(CHANNELS, GEOMETRIES)]


def images(channels: int, height: int, width: int, count: int = 3) -> Tensor:
    torch.manual_seed(channels + 100 * height)
    x = torch.randn(count, channels, height, width)
    x.view(-1)[:6] = torch.tensor([0.0, -0.0, 1.0, -1.0, 1.5, -1.5])[: x.numel()]
    return x.contiguous(memory_format=torch.channels_last)


def sign(x: Tensor) -> Tensor:
    return torch.where(x < 0, -1.0, 1.0).double()


class Case:
    """One convolution by the kernels, and the same by torch in float64."""

    def __init__(self, kernel: str, case: tuple, border: int = -1, factor: float = 1.0, offset: float = 0.0) -> None:
        c_in, c_out, k, stride, dilation, borders, height, width = case
        self.x = images(c_in, height, width)
        self.weight = torch.randn(c_out, c_in, k, k)
        self.weight.view(-1)[:2] = torch.tensor([0.0, -0.0])[: self.weight.numel()]
        self.factor, self.offset = factor, offset
        geometry = {"stride": stride, "dilation": dilation}
        self.convolution = PackedConvolution(
            self.x.shape, self.weight.shape, borders=borders, border=border, kernel=kernel, **geometry
        )
        self.signs = self.convolution.signs(self.x, 1.0)
        self.padded = F.pad(sign(self.x), borders, value=border).requires_grad_()
        self.w_b = sign(self.weight).requires_grad_()
        self.expected = F.conv2d(self.padded, self.w_b, **geometry) * factor + offset
        left, _, top, _ = borders
        self.image = (slice(None), slice(None), slice(top, top + height), slice(left, left + width))

    def forward(self) -> Tensor:
        return self.convolution.forward(self.signs, self.weight, factor=self.factor, offset=self.offset)


@pytest.mark.parametrize("kernel", available_kernels())
@pytest.mark.parametrize("case", CASES, ids=str)
def test_counted_bits_are_the_convolution_of_signs_exactly(kernel: str, case: tuple) -> None:
    for border in (-1, 0, 1):
        of = Case(kernel, case, border)
        assert torch.equal(of.forward().double(), of.expected)


@pytest.mark.parametrize("kernel", available_kernels())
def test_a_factor_and_an_offset_are_exact_where_they_are_halves(kernel: str) -> None:
    of = Case(kernel, CASES[10], 0, factor=0.5, offset=13.5)
    assert torch.equal(of.forward().double(), of.expected)


@pytest.mark.parametrize("kernel", [kernel for kernel in available_kernels() if has_gradients(kernel)])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_are_those_of_the_convolution_of_signs(kernel: str, case: tuple) -> None:
    for border in (-1, 0, 1):
        of = Case(kernel, case, border, factor=0.5)
        upstream = torch.randn_like(of.expected).float()
        g_x, g_w = torch.autograd.grad(of.expected, (of.padded, of.w_b), upstream.double())
        g_x = g_x[of.image] * (of.x.abs() <= 1)
        ours_x = of.convolution.grad_input(upstream, of.signs, of.weight, factor=0.5)
        ours_w = of.convolution.grad_weight(upstream, of.signs, factor=0.5)
        for ours, theirs in ((ours_x, g_x), (ours_w, g_w)):
            assert ours.shape == theirs.shape
            assert (ours - theirs).abs().max() <= 3e-6 * theirs.abs().max()


@pytest.mark.parametrize("kernel", [kernel for kernel in available_kernels() if has_gradients(kernel)])
def test_whole_gradients_sum_to_whole_numbers_exactly(kernel: str) -> None:
    # more positions than one block of tables, and more rows than one band
    of = Case(kernel, (64, 96, 3, 1, 1, (1, 1, 1, 1), 33, 40), 0)
    upstream = torch.randint(-9, 10, of.expected.shape).float()
    g_x, g_w = torch.autograd.grad(of.expected, (of.padded, of.w_b), upstream.double())
    ours = of.convolution.grad_input(upstream, of.signs, of.weight, factor=1.0)
    assert torch.equal(ours.double(), g_x[of.image] * (of.x.abs() <= 1))
    assert torch.equal(of.convolution.grad_weight(upstream, of.signs, factor=1.0).double(), g_w)


@pytest.mark.parametrize("kernel", available_kernels())
@pytest.mark.parametrize("case", CASES[::5], ids=str)
def test_bits_unpack_to_signs_and_a_gradient_of_those_to_one_by_x(kernel: str, case: tuple) -> None:
    for border in (-1, 0, 1):
        of = Case(kernel, case, border)
        assert torch.equal(of.convolution.values(of.signs).double(), of.padded)
        upstream = torch.randn(of.padded.shape)
        expected = upstream[of.image] * (of.x.abs() <= 1)
        assert torch.equal(of.convolution.within(upstream, of.signs), expected)
        everywhere = Signs(of.signs.bits, None)
        assert torch.equal(of.convolution.within(upstream, everywhere), upstream[of.image])


@pytest.mark.parametrize("kernel", available_kernels())
def test_what_is_no_number_is_minus_one_and_outside_and_infinity_is_outside(kernel: str) -> None:
    x = torch.tensor([float("nan"), float("inf"), -float("inf"), 1.0, -1.0, 1.0000001]).view(1, 6, 1, 1)
    convolution = PackedConvolution(
        x.shape, torch.Size((1, 6, 1, 1)), stride=1, dilation=1, borders=(0, 0, 0, 0), border=-1, kernel=kernel
    )
    signs = convolution.signs(x, 1.0)
    assert signs.bits.item() == 0b010101
    assert signs.inside is not None
    assert signs.inside.item() == 0b011000
    everywhere = convolution.signs(x, float("inf")).inside
    assert everywhere is not None
    assert everywhere.item() == 0b111110


@pytest.mark.parametrize("kernel", available_kernels())
def test_memory_may_lie_in_other_orders(kernel: str) -> None:
    of = Case(kernel, CASES[55], 0)
    wide = torch.randn(len(of.x), 200, *of.x.shape[2:]).contiguous(memory_format=torch.channels_last)
    wide[:, 40 : 40 + of.x.shape[1]] = of.x
    for x in (of.x.contiguous(), wide[:, 40 : 40 + of.x.shape[1]], of.x.transpose(2, 3).contiguous().transpose(2, 3)):
        signs = of.convolution.signs(x, 1.0)
        assert torch.equal(signs.bits, of.signs.bits)
        assert torch.equal(signs.inside, of.signs.inside)
    before = of.forward()
    of.weight = of.weight.contiguous(memory_format=torch.channels_last)
    assert torch.equal(of.forward(), before)
    if has_gradients(kernel):
        dense, strided = (of.convolution.grad_weight(g, of.signs, factor=1.0) for g in (before, before.contiguous()))
        assert torch.equal(dense, strided)


@pytest.mark.parametrize("kernel", available_kernels())
def test_threads_change_no_bit(kernel: str) -> None:
    found = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            of = Case(kernel, (48, 70, 3, 2, 1, (1, 1, 1, 1), 19, 17), 0)
            results = [of.signs.bits, of.signs.inside, of.forward()]
            if has_gradients(kernel):
                upstream = results[2] * 0.1
                results.append(of.convolution.grad_input(upstream, of.signs, of.weight, factor=1.0))
                results.append(of.convolution.grad_weight(upstream, of.signs, factor=1.0))
            found.append(results)
    finally:
        torch.set_num_threads(before)
    for results in found[1:]:
        assert all(torch.equal(mine, first) for mine, first in zip(results, found[0], strict=True))


def test_portions_are_the_whole_in_order() -> None:
    of = Case(available_kernels()[0], CASES[0])
    whole = of.convolution.values(of.signs)
    for values in (1, 2 * 5 * 7, 10**9):
        parts = [part.values(some) for part, some in of.convolution.portions(of.signs, values)]
        assert len(parts) == {1: 3, 70: 2, 10**9: 1}[values]
        assert torch.equal(torch.cat(parts), whole)
