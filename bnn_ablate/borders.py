"""Where the border pixels of a convolution or pooling lie."""

from __future__ import annotations

from typing import Literal

Side = Literal["symmetric", "same"]
#: Border pixels (left, right, top, bottom), the order that torch's pad takes.
Borders = tuple[int, int, int, int]


def borders(size: int, *, kernel: int, stride: int, dilation: int, side: Side) -> tuple[int, int]:
    """Border pixels before and after ``size`` pixels of one axis, for an odd ``kernel``.

    ``symmetric``: dilation (kernel - 1) / 2 on each side. ``same``, TensorFlow's rule: as many as an output of
    ceil(size / stride) pixels needs, the odd one after: (0, 1) for kernel 3, stride 2 and an even size.
    """
    reach = dilation * (kernel - 1)
    if side == "symmetric":
        return reach // 2, reach // 2
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + reach + 1 - size, 0)
    return total // 2, total - total // 2


def borders_2d(height: int, width: int, *, kernel: int, stride: int, dilation: int, side: Side) -> Borders:
    """The borders of an image of ``height`` x ``width`` pixels."""
    horizontal = borders(width, kernel=kernel, stride=stride, dilation=dilation, side=side)
    return *horizontal, *borders(height, kernel=kernel, stride=stride, dilation=dilation, side=side)


def equal_sides(borders: Borders) -> bool:
    """Whether opposite borders are equal, as torch's convolutions and poolings can add themselves."""
    left, right, top, bottom = borders
    return left == right and top == bottom
