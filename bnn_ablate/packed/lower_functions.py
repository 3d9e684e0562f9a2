"""How each function that a forward may call is lowered: its arguments are torch's, feature maps are Values.

In a traced forward ``x.shape`` is (BATCH, C, H, W): sizes are known, only the number of images is not.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import torch
import torch.nn.functional as F

from bnn_ablate.packed.graph import Activation, Add, Concat, Edges, Pool
from bnn_ablate.packed.lowering import Place, Value, pair

#: Stands for the number of images.
BATCH: Final = "the number of images"


def relu(place: Place, input: Value, inplace: bool = False) -> Value:
    return place.pixelwise(Activation, input, inplace=inplace, function="relu")


def hardtanh(place: Place, input: Value, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Value:
    if (min_val, max_val) != (-1, 1):
        raise place.refused(f"it clips to {min_val} and {max_val}, not to -1 and 1")
    return place.pixelwise(Activation, input, inplace=inplace, function="clip")


def clamp(place: Place, input: Value, min: float | None = None, max: float | None = None) -> Value:
    return _clamped(place, input, min, max, inplace=False)


def clamp_(place: Place, input: Value, min: float | None = None, max: float | None = None) -> Value:
    return _clamped(place, input, min, max, inplace=True)


def _clamped(place: Place, x: Value, least: float | None, most: float | None, *, inplace: bool) -> Value:
    if least == 0 and most is None:
        return relu(place, x, inplace)
    if least is None or most is None:
        raise place.refused(f"it clips to {least} and {most}, not to -1 and 1")
    return hardtanh(place, x, least, most, inplace)


def add(place: Place, input: Value, other: Value, *, alpha: float = 1) -> Value:
    return _added(place, input, other, alpha, inplace=False)


def iadd(place: Place, input: Value, other: Value, *, alpha: float = 1) -> Value:
    return _added(place, input, other, alpha, inplace=True)


def _added(place: Place, x: Value, y: Value, alpha: float, *, inplace: bool) -> Value:
    if not (isinstance(x, Value) and isinstance(y, Value)) or alpha != 1:
        raise place.refused("it adds something else than two feature maps")
    if x.flat != y.flat:
        raise place.refused("it adds flattened feature maps to others")
    return place.pixelwise(Add, x, y, inplace=inplace)


def cat(place: Place, tensors: Sequence[Value], dim: int = 0) -> Value:
    flats = {value.flat for value in tensors}
    if len(flats) != 1:
        raise place.refused("it concatenates flattened feature maps with others")
    if dim != 1 and dim != (-1 if flats == {True} else -3):
        raise place.refused(f"it concatenates along dim={dim}: only channels, dim=1, can be")
    return place.add(Concat, *tensors)


def max_pool2d(
    place: Place,
    input: Value,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    edges: Edges = (0, 0, 0, 0),
) -> Value:
    if pair(dilation) != (1, 1) or return_indices:
        raise place.refused(f"dilation={dilation} return_indices={return_indices}: only 1 and False can be")
    return _pooled(place, input, "max", kernel_size, stride, padding, ceil_mode, edges, whole=False)


def avg_pool2d(
    place: Place,
    input: Value,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Value:
    if divisor_override is not None:
        raise place.refused(f"divisor_override={divisor_override}: a mean is divided by pixels, inside or all")
    whole = count_include_pad and pair(padding) != (0, 0)
    return _pooled(place, input, "mean", kernel_size, stride, padding, ceil_mode, (0, 0, 0, 0), whole=whole)


def _pooled(
    place: Place,
    x: Value,
    kind: Literal["max", "mean"],
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    edges: Edges,
    *,
    whole: bool,
) -> Value:
    """A Pool whose borders give as many windows as torch has; ``whole`` divides a mean by pixels of the padding too."""
    _, height, width = place.maps(x)
    kernel, padding = pair(kernel_size), pair(padding)
    # functions take a stride of None or of nothing for the kernel's
    steps = kernel if stride is None or stride == [] or stride == () else pair(stride)
    left, right, top, bottom = edges
    rows = _sides(height, (top, bottom), kernel[0], steps[0], padding[0], ceil_mode)
    columns = _sides(width, (left, right), kernel[1], steps[1], padding[1], ceil_mode)
    if whole and (rows[1] > bottom + padding[0] or columns[1] > right + padding[1]):
        # torch divides by those pixels of the window that are inside the padding
        raise place.refused("ceil_mode with count_include_pad makes windows of which padding covers a part only")
    return place.add(
        Pool,
        x,
        kind=kind,
        kernel=kernel,
        stride=steps,
        borders=(*columns, *rows),
        divisor="kernel" if whole else "inside",
    )


def _sides(
    side: int, edges: tuple[int, int], kernel: int, stride: int, padding: int, ceil_mode: bool
) -> tuple[int, int]:
    """Border pixels before and after with which a window has as many positions as torch gives it.

    With ceil_mode a last window may reach beyond the padding, but must begin inside the image or the padding before it.
    """
    before, size = edges[0] + padding, side + sum(edges)
    spare = size + 2 * padding - kernel
    last = -(-spare // stride) if ceil_mode else spare // stride
    if ceil_mode and last * stride >= size + padding:
        last -= 1
    return before, max(0, last * stride + kernel - side - before)


def adaptive_avg_pool2d(place: Place, input: Value, output_size: Any) -> Value:
    if output_size not in (1, (1, 1), [1, 1]):
        raise place.refused(f"output_size={output_size}: only means over the whole image, 1, can be")
    return _image_mean(place, input)


def mean(place: Place, input: Value, dim: Any = None, keepdim: bool = False) -> Value:
    place.maps(input)
    if not isinstance(dim, (tuple, list)) or sorted(axis % 4 for axis in dim) != [2, 3]:
        raise place.refused(f"it takes the mean over dim={dim}: only the image, (2, 3), can be")
    result = _image_mean(place, input)
    return result if keepdim else Value(result.storage, flat=True)


def _image_mean(place: Place, x: Value) -> Value:
    _, height, width = place.maps(x)
    return place.add(
        Pool, x, kind="mean", kernel=(height, width), stride=(1, 1), borders=(0, 0, 0, 0), divisor="inside"
    )


def flatten(place: Place, input: Value, start_dim: int = 0, end_dim: int = -1) -> Value:
    axes = 2 if input.flat else 4
    if start_dim % axes != 1 or end_dim % axes != axes - 1:
        raise place.refused(f"it flattens axes {start_dim} to {end_dim}: only 1 to -1 can be")
    return Value(input.storage, flat=True)


def view(place: Place, input: Value, *shape: Any) -> Value:
    sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    channels, height, width = place.shape(input)
    values = channels * height * width
    if tuple(sizes) not in ((BATCH, -1), (BATCH, values), (-1, values)):
        raise place.refused("it reshapes to something else than (N, C H W)")
    return Value(input.storage, flat=True)


def dropout(place: Place, input: Value, p: float = 0.5, training: bool = True, inplace: bool = False) -> Value:
    if training:
        raise place.refused("it drops values in inference too: pass training=self.training")
    return input


def size(place: Place, input: Value, dim: int | None = None) -> Any:
    channels, height, width = place.shape(input)
    sizes = (BATCH, channels * height * width) if input.flat else (BATCH, channels, height, width)
    return sizes if dim is None else sizes[dim]


def attribute(place: Place, input: Value, name: str) -> Any:
    if name != "shape":
        raise place.refused(f"its forward reads .{name} of a tensor, which cannot be lowered")
    return size(place, input)


def item(place: Place, sizes: Any, index: Any) -> Any:
    if not isinstance(sizes, tuple):
        raise place.refused("its forward takes a part of a tensor, which cannot be lowered")
    return sizes[index]


def _relu_(place: Place, input: Value) -> Value:
    return relu(place, input, inplace=True)


METHODS: dict[str, Callable[..., Any]] = {
    "relu": relu,
    "relu_": _relu_,
    "clamp": clamp,
    "clip": clamp,
    "clamp_": clamp_,
    "clip_": clamp_,
    "add": add,
    "add_": iadd,
    "mean": mean,
    "flatten": flatten,
    "view": view,
    "reshape": view,
    "size": size,
    "contiguous": lambda place, input: input,
}
FUNCTIONS: dict[Any, Callable[..., Any]] = {
    F.relu: relu,
    torch.relu: relu,
    F.relu_: _relu_,
    torch.relu_: _relu_,
    F.hardtanh: hardtanh,
    torch.clamp: clamp,
    torch.clip: clamp,
    operator.add: add,
    operator.iadd: iadd,
    torch.add: add,
    torch.cat: cat,
    torch.concat: cat,
    torch.concatenate: cat,
    F.max_pool2d: max_pool2d,
    torch.max_pool2d: max_pool2d,
    F.avg_pool2d: avg_pool2d,
    F.adaptive_avg_pool2d: adaptive_avg_pool2d,
    torch.mean: mean,
    torch.flatten: flatten,
    torch.reshape: view,
    F.dropout: dropout,
    F.dropout2d: dropout,
    getattr: attribute,
    operator.getitem: item,
}
