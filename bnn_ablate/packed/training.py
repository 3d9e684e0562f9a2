"""Binary convolutions in training, on the CPU: signs packed from floats, sums of bits, and gradients.

The kernels read and write torch's own memory, so every tensor is float32 and lies as ``channels_last`` puts it: pixels
behind each other, the channels of a pixel side by side. :mod:`bnn_ablate.convolution` makes a differentiable step of
it.
"""

from __future__ import annotations

import copy
import ctypes
import itertools
from collections.abc import Iterator
from ctypes import c_float, c_int, c_int64, c_void_p
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from bnn_ablate.borders import Borders
from bnn_ablate.packed.library import KERNELS, EngineError, available_kernels, library

_SHAPE = (
    "images",
    "channels",
    "height",
    "width",
    "out_channels",
    "out_height",
    "out_width",
    "kernel",
    "stride",
    "dilation",
    "left",
    "right",
    "top",
    "bottom",
    "border",
    "pixel_step",
    "out_step",
)


class _Shape(ctypes.Structure):
    _fields_ = [(name, c_int64) for name in _SHAPE]


@cache
def _kernels() -> ctypes.CDLL:
    kernels = library()
    kernels.bnn_shape.restype = ctypes.c_char_p
    if tuple(kernels.bnn_shape().decode().split()) != _SHAPE:
        raise EngineError("the kernels' shape of a convolution is not this module's: run `make` again")
    shape = ctypes.POINTER(_Shape)
    kernels.bnn_signs.argtypes = [c_int, shape, *[c_void_p] * 3, c_float, c_void_p, c_void_p, c_int]
    kernels.bnn_forward.argtypes = [c_int, shape, c_void_p, c_void_p, c_float, c_float, c_void_p, c_int]
    kernels.bnn_values.argtypes = [c_int, shape, c_void_p, c_void_p, c_int]
    kernels.bnn_within.argtypes = [c_int, shape, c_void_p, c_void_p, c_void_p, c_int]
    kernels.bnn_grad_input.argtypes = [
        c_int,
        shape,
        *[c_void_p] * 3,
        c_float,
        c_void_p,
        c_int64,
        *[c_void_p] * 4,
        c_int,
    ]
    kernels.bnn_grad_weight.argtypes = [c_int, shape, c_void_p, c_void_p, c_float, c_void_p, c_int]
    pixels = (c_void_p, c_int64, c_int64, c_int64)
    kernels.bnn_moments.argtypes = [c_int, *pixels, c_void_p, c_void_p, c_int]
    kernels.bnn_add_scaled.argtypes = [c_int, *pixels, *[c_void_p] * 4, c_int64, c_void_p, c_int]
    kernels.bnn_centre.argtypes = [c_int, *pixels, *[c_void_p] * 4, c_int64, c_int]
    return kernels


@cache
def has_gradients(kernel: str) -> bool:
    """Whether a kernel computes gradients too; where it does not, torch's convolutions do, from the same bits."""
    return bool(_kernels().bnn_has_gradients(KERNELS.index(kernel)))


@dataclass(frozen=True)
class Signs:
    """What sign and its straight-through gradient need of x (N, C, H, W).

    ``bits`` (N, top + H + bottom, left + W + right, ceil(C / 32)) int32, 1 for -1, borders included (those of zeros
    as +1); ``inside`` (N, H, W, ceil(C / 16)) int16, a bit a channel: abs(x) <= clip, or None where no window is asked.
    """

    bits: Tensor
    inside: Tensor | None


class PackedConvolution:
    """y (N, c_out, H', W') = factor (W_b * X_b) + offset for x of one shape; W_b and X_b are signs, sign(0) = +1.

    ``borders`` are pixels (left, right, top, bottom) of the value ``border``: -1, 0 or +1. ``weight`` is the shape
    (c_out, c_in, k, k) of the latent weights. All sums of the forward are whole numbers below 2^24, so y is exact.
    Every method takes float32 on a CPU, runs on torch's threads and raises MemoryError where it finds no room.

    Raises ValueError for a weight that does not fit x.
    """

    def __init__(
        self,
        x: torch.Size,
        weight: torch.Size,
        *,
        stride: int,
        dilation: int,
        borders: Borders,
        border: int,
        kernel: str | None = None,
    ) -> None:
        images, channels, height, width = x
        if weight[1] != channels or weight[2] != weight[3]:
            raise ValueError(f"weight {tuple(weight)} does not fit images {tuple(x)}: give (c_out, {channels}, k, k)")
        left, right, top, bottom = borders
        reach = dilation * (weight[2] - 1) + 1
        self.kernel = available_kernels()[0] if kernel is None else kernel
        self._number = KERNELS.index(self.kernel)
        self._shape = _Shape(
            images=images,
            channels=channels,
            height=height,
            width=width,
            out_channels=weight[0],
            out_height=(top + height + bottom - reach) // stride + 1,
            out_width=(left + width + right - reach) // stride + 1,
            kernel=weight[2],
            stride=stride,
            dilation=dilation,
            left=left,
            right=right,
            top=top,
            bottom=bottom,
            border=border,
            pixel_step=channels,
            out_step=weight[0],
        )

    def signs(self, x: Tensor, clip: float | None, affine: tuple[Tensor, Tensor] | None = None) -> Signs:
        """Signs of x (N, c_in, H, W) and, with ``clip``, where abs(x) <= clip. x may be a slice of wider pixels.

        With ``affine`` they are those of x * scale + shift, rounded once, for a scale and a shift a channel.
        """
        shape = self._shape
        x, shape.pixel_step = _pixels(x)
        height, width = shape.top + shape.height + shape.bottom, shape.left + shape.width + shape.right
        bits = torch.empty((shape.images, height, width, -(-shape.channels // 32)), dtype=torch.int32)
        inside = None
        if clip is not None:
            groups = -(-shape.channels // 16)
            inside = torch.empty((shape.images, shape.height, shape.width, groups), dtype=torch.int16)
        pointer = None if inside is None else inside.data_ptr()
        scale, shift = (None, None) if affine is None else (affine[0].data_ptr(), affine[1].data_ptr())
        bound = 0.0 if clip is None else clip
        self._call(_kernels().bnn_signs, x.data_ptr(), scale, shift, bound, bits.data_ptr(), pointer)
        return Signs(bits, inside)

    def forward(
        self, signs: Signs, weight: Tensor, *, factor: float, offset: float, out: Tensor | None = None
    ) -> Tensor:
        """y, channels_last, from latent weights (c_out, c_in, k, k); written to ``out``, a slice of wider pixels."""
        shape = self._shape
        y = _images(shape.images, shape.out_channels, shape.out_height, shape.out_width) if out is None else out
        shape.out_step = _step(y)
        weight = _dense(weight)
        self._call(_kernels().bnn_forward, signs.bits.data_ptr(), weight.data_ptr(), factor, offset, y.data_ptr())
        return y

    def grad_input(self, gradient: Tensor, signs: Signs, weight: Tensor, *, factor: float) -> Tensor:
        """The gradient (N, c_in, H, W) by X_b from that by y; zero outside of the window of ``signs``."""
        shape = self._shape
        result = _images(shape.images, shape.channels, shape.height, shape.width)
        self._grad_input(gradient, signs, weight, factor, result, shape.channels, None, None, None, None)
        return result

    def add_grad_input_(
        self,
        to: Tensor,
        gradient: Tensor,
        signs: Signs,
        weight: Tensor,
        *,
        factor: float,
        x: Tensor,
        scale: Tensor,
        mean: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """:func:`add_scaled_` with :meth:`grad_input`, which is written nowhere: ``to`` += scale times it, and sums."""
        step = _step(to)
        x, self._shape.pixel_step = _pixels(x)
        sums = torch.empty(2, self._shape.channels, dtype=torch.float32)
        self._grad_input(gradient, signs, weight, factor, to, step, x, scale, mean, sums)
        return sums[0], sums[1]

    def _grad_input(
        self,
        gradient: Tensor,
        signs: Signs,
        weight: Tensor,
        factor: float,
        result: Tensor,
        result_step: int,
        *norm: Tensor | None,
    ) -> None:
        gradient, self._shape.out_step = _pixels(gradient)
        weight = _dense(weight)
        inside = None if signs.inside is None else signs.inside.data_ptr()
        pointers = [None if tensor is None else tensor.data_ptr() for tensor in norm]
        call = _kernels().bnn_grad_input
        self._call(
            call, gradient.data_ptr(), weight.data_ptr(), inside, factor, result.data_ptr(), result_step, *pointers
        )

    def grad_weight(self, gradient: Tensor, signs: Signs, *, factor: float) -> Tensor:
        """The gradient (c_out, c_in, k, k) by W_b, channels_last, from that by y."""
        shape = self._shape
        result = _images(shape.out_channels, shape.channels, shape.kernel, shape.kernel)
        gradient, shape.out_step = _pixels(gradient)
        call = _kernels().bnn_grad_weight
        self._call(call, gradient.data_ptr(), signs.bits.data_ptr(), factor, result.data_ptr())
        return result

    def values(self, signs: Signs) -> Tensor:
        """X_b with its borders as floats (N, c_in, top + H + bottom, left + W + right), channels_last."""
        shape = self._shape
        images, height, width, _ = signs.bits.shape
        result = _images(images, shape.channels, height, width)
        self._call(_kernels().bnn_values, signs.bits.data_ptr(), result.data_ptr())
        return result

    def within(self, gradient: Tensor, signs: Signs) -> Tensor:
        """The gradient (N, c_in, H, W) from that by :meth:`values`; zero outside of the window of ``signs``."""
        shape = self._shape
        result = _images(shape.images, shape.channels, shape.height, shape.width)
        gradient = _dense(gradient)
        inside = None if signs.inside is None else signs.inside.data_ptr()
        self._call(_kernels().bnn_within, gradient.data_ptr(), inside, result.data_ptr())
        return result

    def portions(self, signs: Signs, values: int) -> Iterator[tuple[PackedConvolution, Signs]]:
        """Signs of a few images each, so many that input and output hold about ``values`` values, with their shapes."""
        shape = self._shape
        inputs = shape.channels * shape.height * shape.width
        outputs = shape.out_channels * shape.out_height * shape.out_width
        images = max(1, values // max(inputs, outputs))
        insides = itertools.repeat(None) if signs.inside is None else torch.split(signs.inside, images)
        for bits, inside in zip(torch.split(signs.bits, images), insides, strict=False):
            part = copy.copy(self)
            part._shape = _Shape.from_buffer_copy(shape)
            part._shape.images = len(bits)
            yield part, Signs(bits, inside)

    def _call(self, function: ctypes._NamedFuncPointer, *arguments: float | None) -> None:
        _check(function(self._number, self._shape, *arguments, torch.get_num_threads()))


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (c,) of the channels of x (N, c, H, W), a slice of wider pixels; divided by N H W.

    Sums are taken in float64 over pieces, so that threads change no bit.
    """
    mean, variance = torch.empty(2, x.shape[1], dtype=torch.float32)
    x, *pixels = _slice(x)
    _check(_call(_kernels().bnn_moments, *pixels, mean.data_ptr(), variance.data_ptr()))
    return mean, variance


def add_scaled_(to: Tensor, gradient: Tensor, x: Tensor, *, scale: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """``to`` += scale * gradient; sums over pixels of gradient, and of gradient * (x - mean), for each channel.

    All are (N, c, H, W), of which ``to`` and ``x`` may be slices of wider pixels; scale and mean are (c,).
    """
    sums = torch.empty(2, x.shape[1], dtype=torch.float32)
    gradient, to_step = _dense(gradient), _step(to)
    x, *pixels = _slice(x)
    others = (gradient.data_ptr(), scale.data_ptr(), mean.data_ptr(), to.data_ptr())
    _check(_call(_kernels().bnn_add_scaled, *pixels, *others, to_step, sums.data_ptr()))
    return sums[0], sums[1]


def centre_(to: Tensor, x: Tensor, *, offset: Tensor, slope: Tensor, mean: Tensor) -> None:
    """``to`` -= offset + slope * (x - mean), tensors as in :func:`add_scaled_`, offset and slope (c,)."""
    to_step = _step(to)
    x, *pixels = _slice(x)
    others = (offset.data_ptr(), slope.data_ptr(), mean.data_ptr(), to.data_ptr())
    _check(_call(_kernels().bnn_centre, *pixels, *others, to_step))


def _slice(x: Tensor) -> tuple[Tensor, int, int, int, int]:
    """x as the kernels read pixels: what owns the memory, the first value, floats a step, channels, pixels."""
    x, step = _pixels(x)
    return x, x.data_ptr(), step, x.shape[1], len(x) * x.shape[2] * x.shape[3]


def _call(function: ctypes._NamedFuncPointer, *arguments: int) -> int:
    return int(function(KERNELS.index(available_kernels()[0]), *arguments, torch.get_num_threads()))


def _check(status: int) -> None:
    if status != 0:
        raise MemoryError("there is not enough memory for the tables of a binary convolution")


def _images(*shape: int) -> Tensor:
    return torch.empty(shape, dtype=torch.float32, device="cpu", memory_format=torch.channels_last)


def _dense(x: Tensor) -> Tensor:
    return x.detach().contiguous(memory_format=torch.channels_last)


def _pixels(x: Tensor) -> tuple[Tensor, int]:
    """x, copied unless its pixels lie one behind the other, and the floats from each to the next."""
    step = _step_or_none(x)
    return (_dense(x), x.shape[1]) if step is None else (x.detach(), step)


def _step(written: Tensor) -> int:
    """Floats from pixel to pixel of what is written. Raises ValueError where they do not lie one behind the other."""
    step = _step_or_none(written)
    if step is None:
        raise ValueError(f"a tensor of strides {written.stride()} cannot be written: give one in channels_last")
    return step


def _step_or_none(x: Tensor) -> int | None:
    images, channels, height, width = x.shape
    of_image, of_channel, of_row, of_column = x.stride()
    # the stride of an axis of one place means nothing
    known = [of_column] * (width > 1) + [of_row // width] * (height > 1) + [of_image // (height * width)] * (images > 1)
    step = known[0] if known else channels
    laid = (of_image, of_channel, of_row, of_column)
    expected = (height * width * step, 1, width * step, step)
    fits = all(size == 1 or mine == wanted for size, mine, wanted in zip(x.shape, laid, expected, strict=True))
    return step if fits and step >= channels else None
