"""The smooth estimators of sign's gradient against the formulas of their papers, evaluated in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from network_factories import make_estimator

from bnn_ablate.binarize import activation_slope, binary_weight, sign, weight_slope
from bnn_ablate.design import Ede, SwishSign, Weights

#: Both sides of every bend, and values whose exp, cosh and square overflow in float32.
GRID = np.concatenate(
    [np.linspace(-4, 4, 801), [s * 10.0**p for s in (-1, 1) for p in (-30, -3, 1, 1.5, 2, 3, 10, 20, 38)]]
)
GRID = GRID.astype(np.float32).astype(np.float64)
SIGNS = Weights(name="sign")


def swishsign(x: np.ndarray, b: float) -> np.ndarray:
    """Darabi et al. 2018, the derivative of SS_b."""
    with np.errstate(over="ignore"):
        return b * (2 - b * x * np.tanh(b * x / 2)) / (1 + np.cosh(b * x))


def ede(x: np.ndarray, t: float) -> np.ndarray:
    """Qin et al. 2020, equation 10."""
    return max(1 / t, 1) * t * (1 - np.tanh(t * x) ** 2)


def gradient_of_sign(
    x: np.ndarray, estimator: str, clip: float | None, progress: float, dtype: torch.dtype
) -> np.ndarray:
    values = torch.tensor(x, dtype=dtype, requires_grad=True)
    y = sign(values, make_estimator(estimator, clip), progress=progress)
    assert torch.equal(y, torch.where(values < 0, -1.0, 1.0).to(dtype))
    y.backward(torch.full_like(y, 3.0))
    return values.grad.double().numpy() / 3


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
@pytest.mark.parametrize("estimator", ["swishsign", "swishsign_both"])
def test_swishsign_has_the_published_slope(estimator: str, dtype: torch.dtype, tolerance: float) -> None:
    found = gradient_of_sign(GRID, estimator, None, 0.5, dtype)
    np.testing.assert_allclose(found, swishsign(GRID, 5.0), rtol=tolerance, atol=5 * tolerance)
    assert found[GRID == 0] == 5
    assert found[np.isclose(GRID, 0.6)] < 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("estimator", ["ede", "ede_both"])
@pytest.mark.parametrize(("progress", "t"), [(0, 0.1), (0.25, 0.1 * 10**0.5), (0.5, 1.0), (0.9, 10**0.8)])
def test_ede_has_the_published_slope_of_its_time(progress: float, t: float, estimator: str, dtype: torch.dtype) -> None:
    found = gradient_of_sign(GRID, estimator, None, progress, dtype)
    tolerance = 1e-6 if dtype == torch.float32 else 1e-13
    np.testing.assert_allclose(found, ede(GRID, t), rtol=tolerance, atol=5 * tolerance)
    assert found[GRID == 0] == pytest.approx(max(1, t), rel=1e-6)


@pytest.mark.parametrize("beta", [0.5, 1.0, 20.0])
def test_beta_sets_the_width_of_swishsign(beta: float) -> None:
    slope = activation_slope(SwishSign(name="swishsign", beta=beta, clip=None), 0.0)
    found = slope.at(torch.tensor(GRID)).numpy()
    np.testing.assert_allclose(found, swishsign(GRID, beta), rtol=1e-13, atol=1e-13 * beta)


def test_other_limits_set_the_widths_of_ede() -> None:
    grad = Ede(name="ede", t_min=0.5, t_max=8.0, clip=None)
    for progress, t in ((0.0, 0.5), (0.25, 1.0), (0.75, 4.0)):
        np.testing.assert_allclose(activation_slope(grad, progress).at(torch.tensor(GRID)), ede(GRID, t), atol=1e-14)


@pytest.mark.parametrize("estimator", ["swishsign", "ede"])
def test_slopes_are_the_derivatives_of_the_published_functions(estimator: str) -> None:
    """By central differences of SS_5 and, at progress 0.5, of tanh."""
    x, h = np.linspace(-3, 3, 61), 1e-5

    def function(v: np.ndarray) -> np.ndarray:
        s = 1 / (1 + np.exp(-5 * v))
        return np.tanh(v) if estimator == "ede" else 2 * s * (1 + 5 * v * (1 - s)) - 1

    found = gradient_of_sign(x, estimator, None, 0.5, torch.float64)
    np.testing.assert_allclose(found, (function(x + h) - function(x - h)) / (2 * h), atol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("estimator", ["swishsign", "ede"])
def test_slopes_far_out_are_zero_and_never_nan(estimator: str, dtype: torch.dtype) -> None:
    far = torch.tensor([1e3, torch.finfo(dtype).max, math.inf])
    for progress in (0.5, 0.9):
        slopes = activation_slope(make_estimator(estimator), progress).at(torch.cat([far, -far]).to(dtype))
        assert (slopes == 0).all()


@pytest.mark.parametrize("estimator", ["swishsign", "swishsign_both", "ede", "ede_both"])
@pytest.mark.parametrize("clip", [0.5, 1.25])
def test_clip_cancels_the_gradient_of_activations_beyond_it_and_of_no_weight(estimator: str, clip: float) -> None:
    x = np.array([-3, -1.25, -0.75, -0.5, 0, 0.5, 0.75, 1.25, 3])
    free = gradient_of_sign(x, estimator, None, 0.5, torch.float32)
    assert (free != 0).all()
    assert np.array_equal(gradient_of_sign(x, estimator, clip, 0.5, torch.float32), np.where(abs(x) <= clip, free, 0))
    with_clip, without = (weight_slope(make_estimator(estimator, c), SIGNS, 0.5) for c in (clip, None))
    assert torch.equal(with_clip.at(torch.tensor(x)), without.at(torch.tensor(x)))


@pytest.mark.parametrize("estimator", ["swishsign", "ede"])
def test_weights_have_the_slope_too_where_the_name_says_both(estimator: str) -> None:
    for name, expected in (
        (estimator, np.ones_like(GRID)),
        (f"{estimator}_both", swishsign(GRID, 5.0) if estimator == "swishsign" else ede(GRID, 10**0.8)),
    ):
        w = torch.tensor(GRID, requires_grad=True)
        y = binary_weight(w, make_estimator(name, 1.0), SIGNS, progress=0.9)
        assert torch.equal(y, torch.where(w < 0, -1.0, 1.0).double())
        y.backward(torch.full_like(y, -2.0))
        np.testing.assert_allclose(w.grad, -2 * expected, rtol=1e-12, atol=1e-12)


def test_magnitude_aware_weights_pass_the_gradient_up_to_one() -> None:
    w = torch.tensor([-1.5, -1.0, -0.25, 0.0, 1.0, 1.0 + 2**-23], requires_grad=True)
    y = binary_weight(w, make_estimator("approxsign"), Weights(name="magnitude_aware"), progress=0.0)
    y.backward(torch.arange(1.0, 7.0))
    assert y.tolist() == [-1, -1, -1, 1, 1, 1]
    assert w.grad.tolist() == [0, 2, 3, 4, 5, 0]


@pytest.mark.parametrize("estimator", ["swishsign", "ede"])
def test_differentiating_the_smooth_estimators_twice_is_refused(estimator: str) -> None:
    x = torch.tensor([0.5], requires_grad=True)
    y = sign(x, make_estimator(estimator), progress=0.5)
    (g,) = torch.autograd.grad(y * x, x, create_graph=True)
    with pytest.raises(RuntimeError, match="twice"):
        g.backward()
