"""How far binary convolutions are from float ones, with and without scaling factors, before and behind a BatchNorm."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY
from network_factories import make_design
from numpy.typing import NDArray

from bnn_ablate.identity import ids_of
from bnn_ablate.layers import BinaryConv2d
from bnn_ablate.record import RecordError
from bnn_ablate.run import run
from bnn_ablate.scaling_error import layer_errors, main, outputs
from bnn_ablate.scaling_errors import FILE, read_errors

Array = NDArray[np.float64]


def convolution(kernel_size: int = 1, in_channels: int = 1, out_channels: int = 1, **options: str) -> BinaryConv2d:
    design = make_design(**options)
    return BinaryConv2d(in_channels, out_channels, kernel_size, stride=1, dilation=1, design=design).requires_grad_(
        False
    )


def convolved(x: Array, w: Array, border: float) -> Array:
    """(c_in, H, W) and (c_out, c_in, 3, 3) to (c_out, H, W), term by term."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)), constant_values=border)
    y = np.zeros((len(w), *x.shape[1:]))
    for o, c, i, j in np.ndindex(*w.shape):
        y[o] += w[o, c, i, j] * padded[c, i : i + x.shape[1], j : j + x.shape[2]]
    return y


def test_one_weight_and_one_channel_are_scaled_without_any_error():
    layer = convolution()
    layer.weight.fill_(0.5)
    x = torch.tensor([[[[1.0, -2.0], [3.0, -4.0]]]])
    floats, binary, alpha, alpha_k = outputs(layer, x)
    assert floats.flatten().tolist() == [0.5, -1.0, 1.5, -2.0]
    assert binary.flatten().tolist() == [1.0, -1.0, 1.0, -1.0]
    assert alpha.flatten().tolist() == [0.5, -0.5, 0.5, -0.5]
    assert alpha_k.flatten().tolist() == [0.5, -1.0, 1.5, -2.0]
    (errors,) = layer_errors(torch.nn.Sequential(layer), x)
    # |y - y_float|^2 / |y_float|^2: (0.25 + 0 + 0.25 + 1) / 7.5 and (0 + 0.25 + 1 + 2.25) / 7.5
    assert errors.before_norm.binary == pytest.approx((1.5 / 7.5) ** 0.5)
    assert errors.before_norm.alpha == pytest.approx((3.5 / 7.5) ** 0.5)
    assert errors.before_norm.alpha_k == 0
    assert errors.after_norm.alpha_k == 0
    # behind BatchNorm binary and alpha are the same signs, 1 and -1, and the floats have mean -0.25, variance 1.8125
    normed = (np.array([0.5, -1.0, 1.5, -2.0]) + 0.25) / 1.8125**0.5
    expected = np.linalg.norm(normed - [1, -1, 1, -1]) / np.linalg.norm(normed)
    assert errors.after_norm.binary == pytest.approx(expected, rel=1e-4)
    assert errors.after_norm.alpha == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("padding", "border"), [("minus_one", -1), ("zero", 0), ("plus_one", 1)])
@pytest.mark.parametrize("scaling", ["none", "xnor"])
def test_outputs_are_those_of_loops_whatever_the_layers_own_scaling(padding, border, scaling):
    torch.manual_seed(0)
    layer = convolution(3, in_channels=2, out_channels=3, padding=padding, scaling=scaling)
    x = torch.randn(1, 2, 4, 5)
    found = [y[0].double().numpy() for y in outputs(layer, x)]
    image, weight = x[0].double().numpy(), layer.weight.double().numpy()
    signs = convolved(np.where(image < 0, -1.0, 1.0), np.where(weight < 0, -1.0, 1.0), border)
    alpha = np.abs(weight).mean((1, 2, 3))[:, None, None]
    spread = convolved(np.abs(image).mean(0, keepdims=True), np.full((1, 1, 3, 3), 1 / 9), 0)
    for y, expected in zip(
        found, [convolved(image, weight, 0), signs, alpha * signs, alpha * spread * signs], strict=True
    ):
        np.testing.assert_allclose(y, expected, atol=1e-5)


def test_alpha_lowers_the_error_and_batchnorm_takes_that_away():
    torch.manual_seed(0)
    (errors,) = layer_errors(torch.nn.Sequential(convolution(3, 8, 16)), torch.randn(8, 8, 6, 6))
    assert errors.before_norm.alpha < errors.before_norm.binary
    assert errors.after_norm.alpha == pytest.approx(errors.after_norm.binary, abs=1e-4)


@pytest.fixture(scope="module")
def done(make_settings, tmp_path_factory):
    """A finished run: its record and the folder of runs."""
    runs = tmp_path_factory.mktemp("scaled")
    settings = make_settings(*TINY, f"runs={runs}")
    return run(settings, ids_of(settings), ""), runs


def test_the_command_writes_a_file_of_the_runs_own_weights_and_changes_nothing_else(done, capsys):
    record, runs = done
    before = {path.name: path.read_bytes() for path in (runs / record.run_id).iterdir() if path.is_file()}
    assert main(["run=all", f"runs={runs}", "images=8"]) == 0
    assert f"run {record.run_id}: 4 layers" in capsys.readouterr().out
    errors = read_errors(runs / record.run_id / FILE)
    assert (errors.run_id, errors.weight_digest, errors.images) == (record.run_id, record.weight_digest, 8)
    assert [layer.name for layer in errors.layers] == [f"stages.{s}.{b}.body.0" for s in (0, 1) for b in (0, 1)]
    after = {path.name: path.read_bytes() for path in (runs / record.run_id).iterdir() if path.name != FILE}
    assert after == before


def test_more_images_than_there_are_are_refused_and_without_a_number_all_of_few_are_taken(done, capsys):
    record, runs = done
    there = record.accuracy.num_images
    path = runs / record.run_id / FILE
    path.unlink(missing_ok=True)
    assert main(["run=all", f"runs={runs}", f"images={there + 1}"]) == 1
    told = f"error: images={there + 1} are more than there are: the test set of run {record.run_id} has {there}"
    assert told in capsys.readouterr().out
    assert not path.exists()
    assert main(["run=all", f"runs={runs}"]) == 0
    assert read_errors(path).images == min(there, 64)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "run= is missing"),
        (["run=0123456789ab"], "run=0123456789ab is not there"),
        (["run=all", "image=3"], "image=3 is not an argument: give run=ID|all, runs=DIR, images=N or data.root=DIR"),
        (["run=all", "images=1"], "images=1 must be a number from 2 on"),
        (["run=all", "runs=nowhere"], "run=all: no run in nowhere is finished"),
    ],
)
def test_wrong_words_are_told_in_a_sentence(words, told, capsys):
    assert main(words) == 1
    assert f"error: {told}" in capsys.readouterr().out


def test_a_file_that_is_not_as_it_was_written_is_refused_by_name(done, tmp_path: Path):
    record, runs = done
    main([f"run={record.run_id}", f"runs={runs}", "images=8"])
    path = tmp_path / FILE
    shutil.copy(runs / record.run_id / FILE, path)
    whole = json.loads(path.read_text())
    whole["layers"][0]["before_norm"]["alpha"] = -1.0
    path.write_text(json.dumps(whole))
    with pytest.raises(RecordError, match=r"scaling_error\.json: layers\.0\.before_norm\.alpha"):
        read_errors(path)
