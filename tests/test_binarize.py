"""Sign and its gradients against tables written by hand."""

from __future__ import annotations

import math

import pytest
import torch

from bnn_ablate.binarize import binary_weight, encoded, sign
from bnn_ablate.design import Grad, Weights

#: The float32 beside 1 and beside 1.25.
ULP = 2.0**-23

#: input: (sign, gradient of ste with clip 1, of ste with clip 1.25, of approxsign, of approxsign with clip 0.5)
TABLE = {
    0.0: (1, 1, 1, 2.0, 2.0),
    1e-30: (1, 1, 1, 2.0, 2.0),
    -1e-30: (-1, 1, 1, 2.0, 2.0),
    0.25: (1, 1, 1, 1.5, 1.5),
    -0.25: (-1, 1, 1, 1.5, 1.5),
    0.5: (1, 1, 1, 1.0, 1.0),
    -0.5: (-1, 1, 1, 1.0, 1.0),
    0.5 + ULP: (1, 1, 1, 1.0 - 2 * ULP, 0.0),
    -0.5 - ULP: (-1, 1, 1, 1.0 - 2 * ULP, 0.0),
    0.75: (1, 1, 1, 0.5, 0.0),
    1.0: (1, 1, 1, 0.0, 0.0),
    -1.0: (-1, 1, 1, 0.0, 0.0),
    1.0 + ULP: (1, 0, 1, 0.0, 0.0),
    -1.0 - ULP: (-1, 0, 1, 0.0, 0.0),
    1.25: (1, 0, 1, 0.0, 0.0),
    -1.25: (-1, 0, 1, 0.0, 0.0),
    1.25 + ULP: (1, 0, 0, 0.0, 0.0),
    -1.25 - ULP: (-1, 0, 0, 0.0, 0.0),
    3.0: (1, 0, 0, 0.0, 0.0),
    -3.0: (-1, 0, 0, 0.0, 0.0),
    math.inf: (1, 0, 0, 0.0, 0.0),
    -math.inf: (-1, 0, 0, 0.0, 0.0),
}
INPUTS = torch.tensor([*TABLE, -0.0])
# -0.0 and 0.0 are one key of a dictionary.
ROWS = [*TABLE.values(), TABLE[0.0]]
UPSTREAM = torch.arange(1.0, len(ROWS) + 1)


def column(index: int) -> torch.Tensor:
    return torch.tensor([float(row[index]) for row in ROWS])


@pytest.mark.parametrize(
    ("grad", "index"),
    [
        (Grad(name="ste", clip=1.0), 1),
        (Grad(name="ste", clip=1.25), 2),
        (Grad(name="approxsign", clip=1.0), 3),
        (Grad(name="approxsign", clip=0.5), 4),
        (Grad(name="approxsign_both", clip=1.0), 3),
        (Grad(name="approxsign_both", clip=0.5), 4),
    ],
    ids=lambda value: f"{value.name} {value.clip}" if isinstance(value, Grad) else "",
)
def test_the_sign_of_an_activation_and_its_gradient_are_those_of_the_table(grad: Grad, index: int) -> None:
    x = INPUTS.clone().requires_grad_()
    y = sign(x, grad, progress=0.0)
    y.backward(UPSTREAM)
    assert torch.equal(y, column(0))
    assert torch.equal(x.grad, UPSTREAM * column(index))


@pytest.mark.parametrize(("name", "factor"), [("ste", None), ("approxsign", None), ("approxsign_both", 3)])
@pytest.mark.parametrize("clip", [0.5, 1.0])
def test_weights_pass_the_gradient_unclipped_unless_approxsign_is_for_both(
    name: str, factor: int | None, clip: float
) -> None:
    w = INPUTS.clone().requires_grad_()
    y = binary_weight(w, Grad(name=name, clip=clip), Weights(name="sign"), progress=0.0)
    y.backward(UPSTREAM)
    assert torch.equal(y, column(0))
    assert torch.equal(w.grad, UPSTREAM if factor is None else UPSTREAM * column(factor))


@pytest.mark.parametrize("clip", [0.3, 1.0, 1.25, 1.3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_code_holds_the_sign_and_the_inclusive_window(clip: float, dtype: torch.dtype) -> None:
    edge = torch.tensor(clip, dtype=dtype)
    beyond = torch.nextafter(edge, torch.tensor(9.0, dtype=dtype))
    x = torch.stack([edge, -edge, beyond, -beyond, *INPUTS.to(dtype)]).view(1, 1, 1, -1)
    code = encoded(x, clip)
    assert code.dtype == torch.uint8
    values = x.flatten().tolist()
    assert [int(v >= 0) + 2 * (abs(v) <= edge.item()) for v in values] == code.flatten().tolist()


def test_codes_keep_the_memory_format_of_the_images() -> None:
    x = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    assert encoded(x, 1.0).stride() == x.stride()


@pytest.mark.parametrize("name", ["ste", "approxsign", "approxsign_both"])
def test_differentiating_sign_twice_is_refused(name: str) -> None:
    x = torch.tensor([0.5], requires_grad=True)
    y = sign(x, Grad(name=name, clip=1.0), progress=0.0)
    (g,) = torch.autograd.grad(y * x, x, create_graph=True)
    with pytest.raises(RuntimeError, match="twice"):
        g.backward()
