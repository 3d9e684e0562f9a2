"""Weight files of Larq Zoo and bitorch become networks of ours: the right tensor in each place, or one sentence."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from interop_factories import Net, Reference, bitorch_state, densenet, keras_names, resnet_e, write_keras
from torch import Tensor, nn

from bnn_ablate.design import AXES
from bnn_ablate.interop import Converted, InteropError, conventions, convert, load_network
from bnn_ablate.interop.__main__ import main
from bnn_ablate.settings import SettingsError

#: A ResNetE of eight binary convolutions on 8x8 images, and what it takes to ask for one.
TINY = ("model.blocks_per_stage=[2,1,1]", "model.channels=[4,8,12]", "model.stem_features=4")
#: A BinaryDenseNet whose last two stages are dilated.
TINY_DENSE = (
    "model.layers_per_stage=[2,1,2,1]",
    "model.reduction=[1.5,1.5,1.5]",
    "model.growth=16",
    "model.init_features=16",
)


def tiny(library: str = "larq", *, kernel: int = 3, **sizes: Any) -> Net:
    return resnet_e(library, [2, 1, 1], [4, 8, 12], kernel=kernel, classes=5, **sizes)


def tiny_dense(*, kernel: int = 3) -> Net:
    sizes = {"dilation": (1, 1, 2, 4), "growth": 16, "features": 16}
    return densenet([2, 1, 2, 1], [32, 32, 32], kernel=kernel, classes=5, **sizes)


@pytest.fixture(autouse=True, scope="module")
def _composed_once() -> Iterator[None]:
    """Hydra takes half a second to compose what these tests ask for again and again."""
    remembered = cache(conventions.composed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conventions, "composed", lambda fixed, asked: remembered(tuple(fixed), tuple(asked)))
        yield


def saved(net: Net, library: str, folder: Path) -> Path:
    """The net in its library's format."""
    path = folder / f"net.{library}"
    if library == "larq":
        write_keras(path, net)
    else:
        torch.save(bitorch_state(net), path)
    return path


# --- the published networks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("library", "model", "net", "params"),
    [
        # Parameters as Larq's documentation and the authors' tool count them, at 1000 classes and the 7x7 stem.
        ("larq", "binary_densenet45", densenet([6, 12, 14, 8], [160, 288, 288], kernel=7, classes=1000), 13_889_512),
        (
            "bitorch",
            "resnet_e34",
            # The authors' 21,797,806 without the BatchNorm on the image, which bitorch left out.
            resnet_e("bitorch", [3, 4, 6, 3], [64, 128, 256, 512], kernel=7, classes=1000),
            21_797_800,
        ),
        (
            "bitorch",
            "binary_densenet37_dilated",
            densenet([6, 8, 12, 6], [128, 192, 256], dilation=(1, 1, 2, 4), kernel=7, classes=1000),
            8_702_248,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_every_tensor_of_a_published_network_lands_in_its_place(
    library: str, model: str, net: Net, params: int, tmp_path: Path
) -> None:
    converted = convert(saved(net.numbered(), library, tmp_path), model)
    assert_equal_tensors(converted, net.values)
    facts = converted.facts
    assert (facts.design.stem.name, facts.in_channels, facts.num_classes) == ("imagenet", 3, 1000)
    assert (facts.image_size, facts.model.name) == (224, model)
    assert converted.tensors == len(net.values)
    assert converted.cost().params == params


def assert_equal_tensors(converted: Converted, values: dict[str, Tensor]) -> None:
    state = converted.network.state_dict()
    assert {key for key in state if not key.endswith("num_batches_tracked")} == set(values)
    for key, value in values.items():
        assert torch.equal(state[key], value), key


# --- what they compute ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", [3, 7])
@pytest.mark.parametrize(("library", "border", "same"), [("larq", 0.0, True), ("bitorch", -1.0, False)])
def test_a_resnet_e_computes_what_its_library_does(
    library: str, border: float, same: bool, kernel: int, tmp_path: Path
) -> None:
    net = tiny(library, kernel=kernel, in_channels=2).random(seed=1)
    network = convert(saved(net, library, tmp_path), "resnet_e18", TINY).network
    images = torch.randn(2, 2, 32, 32, generator=torch.Generator().manual_seed(2))
    expected = Reference(net.values, border, same).resnet_e(images, [2, 1, 1])
    assert_same_answers(network, images, expected)


@pytest.mark.parametrize(("library", "border", "same"), [("larq", 0.0, True), ("bitorch", -1.0, False)])
def test_a_dilated_densenet_computes_what_its_library_does(
    library: str, border: float, same: bool, tmp_path: Path
) -> None:
    net = tiny_dense(kernel=7).random(seed=3)
    network = convert(saved(net, library, tmp_path), "binary_densenet37_dilated", TINY_DENSE).network
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(4))
    expected = Reference(net.values, border, same).densenet(images, [2, 1, 2, 1], (1, 1, 2, 4))
    assert_same_answers(network, images, expected)


def assert_same_answers(network: nn.Module, images: Tensor, expected: Tensor) -> None:
    with torch.no_grad():
        logits = network(images)
    assert (logits - expected).abs().max() <= 1e-4 * (expected[0] - expected[1]).abs().max()


# --- how files are written -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [{"first": 37}, {"chunks": 3}, {"as_bytes": True}, {"whole": "{}"}],
    ids=["a model built later in its session", "a list in pieces", "names as bytes", "a whole model"],
)
def test_keras_files_are_read_however_keras_wrote_them(how: dict[str, Any], tmp_path: Path) -> None:
    net = tiny().numbered()
    if "whole" in how:
        how = {"whole": json.dumps({"config": {"layers": keras_config(net)}})}
    write_keras(tmp_path / "weights", net, **how)
    converted = convert(tmp_path / "weights", "resnet_e18", TINY)
    assert_equal_tensors(converted, net.values)
    assert converted.facts.image_size == (16 if "whole" in how else 32)


def keras_config(net: Net, **changed: Any) -> list[dict[str, Any]]:
    """What a saved model says of its layers; ``changed`` is put in the last binary convolution's configuration."""
    names = keras_names(net, 0)
    layers: list[dict[str, Any]] = [
        {"class_name": "InputLayer", "config": {"name": "input_1", "batch_input_shape": [None, 16, 16, 3]}}
    ]
    for made in net.layers():
        config: dict[str, Any] = {"name": names[made.ours]}
        if made.keras == "batch_normalization":
            config |= {"epsilon": 1e-05, "momentum": 0.9}
        if made.keras == "quant_conv2d":
            halves = made.ours.endswith(".0.body.0") and made.shape[0] != made.shape[1]
            strides = [2, 2] if halves else [1, 1]
            config |= {"strides": strides, "dilation_rate": [1, 1], "padding": "same", "pad_values": 0.0}
            last = config
        layers.append({"class_name": made.keras, "config": config})
    last.update(changed)
    return layers


def test_layers_in_the_order_of_the_source_find_their_places_too(tmp_path: Path) -> None:
    net = tiny().numbered()
    write_keras(tmp_path / "weights.h5", net, order=net.layers())
    assert_equal_tensors(convert(tmp_path / "weights.h5", "resnet_e18", TINY), net.values)


def test_layers_may_have_any_name(tmp_path: Path) -> None:
    net = tiny().numbered()
    names = write_keras(tmp_path / "weights.h5", net)
    with h5py.File(tmp_path / "weights.h5", "r+") as file:
        # A scope, spaces, letters of another alphabet, a line break.
        new = {name: f"größe {n}/sieć\n{n}" for n, name in enumerate(names.values())}
        for name, odd in new.items():
            file.move(name, odd)
        file.attrs["layer_names"] = [new.get(name, name) for name in file.attrs["layer_names"]]
    assert_equal_tensors(convert(tmp_path / "weights.h5", "resnet_e18", TINY), net.values)


@pytest.mark.parametrize("prefix", ["_model.", "", "model._model."])
def test_what_all_names_of_a_state_dict_begin_with_is_left_out(prefix: str, tmp_path: Path) -> None:
    net = tiny("bitorch").numbered()
    state = bitorch_state(net, prefix)
    for content in (state, {"state_dict": state, "epoch": 3, "hyper_parameters": {"lr": 0.1}}):
        torch.save(content, tmp_path / "weights.h5")  # the content decides, not the name
        assert_equal_tensors(convert(tmp_path / "weights.h5", "resnet_e18", TINY), net.values)


def test_state_dicts_of_older_torch_and_without_counters_are_read(tmp_path: Path) -> None:
    net = tiny("bitorch").numbered()
    state = {k: v for k, v in bitorch_state(net).items() if not k.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert_equal_tensors(convert(tmp_path / "old.pt", "resnet_e18", TINY), net.values)


def test_grey_images_and_other_widths_come_from_the_file(tmp_path: Path) -> None:
    net = resnet_e("larq", [2, 2, 2, 2], [8, 16, 32, 64], kernel=3, classes=7, in_channels=1).numbered()
    facts = convert(saved(net, "larq", tmp_path), "resnet_e18", ["model.width=0.125"]).facts
    assert (facts.in_channels, facts.num_classes, facts.model.width) == (1, 7, 0.125)


# --- files that are refused ----------------------------------------------------------------------------------------


def refused(path: Path, overrides: tuple[str, ...] = TINY, model: str = "resnet_e18") -> str:
    """The sentence with which a file is refused: one line, which names the file."""
    with pytest.raises(InteropError) as caught:
        convert(path, model, overrides)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert str(path) in sentence
    return sentence


def changed_keras(folder: Path, change: Callable[[Any], None], net: Net | None = None) -> Path:
    """A tiny Larq file after ``change`` of its content."""
    write_keras(folder / "weights.h5", (tiny() if net is None else net).numbered())
    with h5py.File(folder / "weights.h5", "r+") as file:
        change(file)
    return folder / "weights.h5"


def without_layer(file: Any, layer: str) -> None:
    del file[layer]
    file.attrs["layer_names"] = [name for name in file.attrs["layer_names"] if name != layer]


def replaced(file: Any, name: str, value: Any) -> None:
    del file[name]
    file[name] = value


def without_beta(file: Any) -> None:
    del file["batch_normalization_3/batch_normalization_3/beta:0"]
    names = [n for n in file["batch_normalization_3"].attrs["weight_names"] if "beta" not in n]
    file["batch_normalization_3"].attrs["weight_names"] = names


def added_layer(file: Any) -> None:
    file["dense_1/dense_1/kernel:0"] = np.zeros((5, 3), "f4")
    file["dense_1/dense_1/bias:0"] = np.zeros(3, "f4")
    file["dense_1"].attrs["weight_names"] = ["dense_1/kernel:0", "dense_1/bias:0"]
    file.attrs["layer_names"] = [*file.attrs["layer_names"], "dense_1"]


def with_bias(file: Any) -> None:
    file["conv2d_1/conv2d_1/bias:0"] = np.zeros(8, "f4")
    file["conv2d_1"].attrs["weight_names"] = ["conv2d_1/kernel:0", "conv2d_1/bias:0"]


def linked_outside(file: Any) -> None:
    del file["conv2d_1"]
    file["conv2d_1"] = h5py.ExternalLink("/etc/passwd", "/")


def stored_outside(file: Any) -> None:
    del file["conv2d_1/conv2d_1/kernel:0"]
    file.create_dataset("conv2d_1/conv2d_1/kernel:0", (1, 1, 4, 8), "f4", external=[("/etc/passwd", 0, 128)])


#: The layers of the tiny net by name: conv2d_1 and batch_normalization_4 are the shortcut of the first block with 8.
@pytest.mark.parametrize(
    ("change", "named"),
    [
        # A shortcut's convolution is gone: of the same kind the next one stands in the third stage.
        (lambda file: without_layer(file, "conv2d_1"), r"lacks the convolution stages\.1\.0\.shortcut\.1 .*8, 4, 1, 1"),
        (
            lambda file: without_layer(file, "batch_normalization_8"),
            r"lacks the BatchNorm stages\.2\.0\.\w+\.\d .*\(12,",
        ),
        (lambda file: file.__delitem__("quant_conv2d_2/quant_conv2d_2"), "lacks quant_conv2d_2/kernel:0"),
        (lambda file: file.__delitem__("quant_conv2d_2"), "lacks quant_conv2d_2"),
        (without_beta, "lacks beta of its BatchNorm batch_normalization_3"),
        (added_layer, r"holds dense_1/kernel:0 of shape \(5, 3\), one too many"),
        (lambda file: file.create_dataset("conv2d/odd", data=1.0), "holds conv2d/odd, which is in none of its layers"),
        (with_bias, "holds conv2d_1/bias:0"),
        (
            lambda file: replaced(file, "conv2d_1/conv2d_1/kernel:0", np.zeros((1, 1, 4, 6), "f4")),
            r"conv2d_1/kernel:0 has the shape \(1, 1, 4, 6\) where stages.1.0.shortcut.1.weight needs \(1, 1, 4, 8",
        ),
        (
            lambda file: replaced(file, "batch_normalization_5/batch_normalization_5/beta:0", np.zeros(3, "f4")),
            r"batch_normalization_5/beta:0 has the shape \(3,\) where stages\.1\.0\.body\.1\.bias needs \(8,\)",
        ),
        (
            lambda file: replaced(file, "dense/dense/bias:0", np.array([1, 2, np.nan, 4, 5], "f4")),
            "dense/bias:0 holds NaN or infinity",
        ),
        (
            lambda file: replaced(file, "batch_normalization/batch_normalization/moving_variance:0", -np.ones(4, "f4")),
            "batch_normalization/moving_variance:0 holds a negative variance",
        ),
        (lambda file: replaced(file, "dense/dense/bias:0", np.arange(5)), "dense/bias:0 holds int64"),
        (lambda file: without_layer(file, "dense"), "lacks the classifier, a Dense layer"),
        (linked_outside, "conv2d_1 is a link"),
        (stored_outside, "conv2d_1/kernel:0 keeps its values in another file"),
        (lambda file: file.attrs.__delitem__("layer_names"), "without Keras's list of layers"),
        (lambda file: file.attrs.__setitem__("layer_names", 3), "damaged"),
        (lambda file: file.attrs.__setitem__("layer_names", ["../conv2d", "\x1b[31m\nred"]), r"lacks \.\./conv2d"),
        (lambda file: file.attrs.__setitem__("layer_names", ["\x1b[31m\nred"]), r"lacks \\x1b\[31m\\nred"),
    ],
)
def test_a_keras_file_that_does_not_fit_is_refused_by_the_tensors_name(
    change: Callable[[Any], None], named: str, tmp_path: Path
) -> None:
    assert re.search(named, refused(changed_keras(tmp_path, change)))


def test_a_classifier_left_out_of_a_densenets_file_is_missed_too(tmp_path: Path) -> None:
    path = changed_keras(tmp_path, lambda file: without_layer(file, "dense"), tiny_dense())
    assert "lacks the classifier" in refused(path, TINY_DENSE, "binary_densenet37_dilated")


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"dilation_rate": [2, 2]}, r"quant_conv2d_7 has dilation_rate=\[2, 2\] where stages.2.1.body.0 has \[1, 1\]"),
        ({"pad_values": 1.0}, "quant_conv2d_7 has pad_values=1.0"),
    ],
)
def test_a_whole_model_that_says_it_computes_something_else_is_refused(
    changed: dict[str, Any], named: str, tmp_path: Path
) -> None:
    net = tiny().numbered()
    whole = json.dumps({"config": {"layers": keras_config(net, **changed)}})
    write_keras(tmp_path / "model.h5", net, whole=whole)
    assert re.search(named, refused(tmp_path / "model.h5"))


def test_a_float_layer_in_the_place_of_a_binary_one_is_refused(tmp_path: Path) -> None:
    def renamed(file: Any) -> None:
        file.move("quant_conv2d_7", "conv2d_9")
        file.attrs["layer_names"] = [n.replace("quant_conv2d_7", "conv2d_9") for n in file.attrs["layer_names"]]

    assert "conv2d_9 is float where stages.2.1.body.0 is binary" in refused(changed_keras(tmp_path, renamed))


SHORTCUT = "_model.features.3.0.downsample"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda state: state.pop(f"{SHORTCUT}.2.running_mean"), f"lacks {SHORTCUT}.2.running_mean"),
        (lambda state: state.pop("_model.features.1.running_mean"), "lacks _model.features.1.running_mean"),
        (lambda state: state.pop("_model.features.0.weight"), "lacks features.0.weight"),
        (lambda state: state.pop("_model.output_layer.weight"), "lacks the classifier: _model.output_layer.weight"),
        (lambda state: state.update({f"{SHORTCUT}.1.bias": torch.zeros(8)}), f"holds {SHORTCUT}.1.bias"),
        (lambda state: state.update({"teacher.weight": torch.zeros(8)}), "holds teacher.weight"),
        (lambda state: state.update({"_model.note": "hello"}), "holds _model.note, which is no tensor"),
        (
            lambda state: state.update({f"{SHORTCUT}.1.weight": torch.zeros(8, 5, 1, 1)}),
            rf"{SHORTCUT}.1.weight has the shape \(8, 5, 1, 1\) where stages.1.0.shortcut.1.weight needs \(8, 4, 1",
        ),
        (lambda state: state.update({f"{SHORTCUT}.2.bias": torch.zeros(())}), rf"{SHORTCUT}.2.bias has the shape \(\)"),
        (
            lambda state: state.update({f"{SHORTCUT}.1.weight": torch.ones(8, 4, 1, 1, dtype=torch.int8)}),
            f"{SHORTCUT}.1.weight holds torch.int8",
        ),
        (
            lambda state: state.update({f"{SHORTCUT}.1.weight": torch.zeros(8, 4, 1, 1).to_sparse()}),
            f"{SHORTCUT}.1.weight is not stored as an ordinary tensor",
        ),
    ],
)
def test_a_state_dict_that_does_not_fit_is_refused_by_the_tensors_name(
    change: Callable[[dict[str, Any]], None], named: str, tmp_path: Path
) -> None:
    state: dict[str, Any] = bitorch_state(tiny("bitorch").numbered())
    change(state)
    torch.save(state, tmp_path / "weights.pt")
    assert re.search(named, refused(tmp_path / "weights.pt"))


def test_a_state_dict_says_itself_whether_it_is_dilated(tmp_path: Path) -> None:
    path = saved(tiny_dense().numbered(), "bitorch", tmp_path)
    assert "lacks _model.features.Transition_2.3.weight" in refused(path, TINY_DENSE, "binary_densenet37")


class Foreign:
    """What a pickle could make run at loading."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("unpickled"),))


def test_foreign_objects_are_not_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": bitorch_state(tiny("bitorch").numbered()), "callbacks": Foreign()}, "weights.pt")
    assert "holds objects beside tensors" in refused(Path("weights.pt"))
    assert not Path("unpickled").exists()


@pytest.mark.parametrize("library", ["larq", "bitorch"])
def test_a_truncated_file_is_damaged(library: str, tmp_path: Path) -> None:
    path = saved(tiny(library).numbered(), library, tmp_path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    assert "damaged" in refused(path)


def test_other_files_and_folders_are_told_apart_from_weights(tmp_path: Path) -> None:
    (tmp_path / "page.h5").write_text("<html>not found</html>")
    (tmp_path / "empty.pt").touch()
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    assert "neither HDF5" in refused(tmp_path / "page.h5")
    assert "neither HDF5" in refused(tmp_path / "empty.pt")
    assert "holds no state_dict" in refused(tmp_path / "tensor.pt")
    assert "without Keras's list of layers" in refused(tmp_path / "other.h5")
    assert "is no file" in refused(tmp_path)
    assert "cannot be read: No such file" in refused(tmp_path / "none.h5")


def test_a_missing_h5py_is_named_with_the_way_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tiny().numbered(), "larq", tmp_path)
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert "pip install -e '.[interop]'" in refused(path)


# --- options -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("library", "override", "named"),
    [
        ("larq", "padding=minus_one", "padding=minus_one contradicts .* with padding=zero"),
        ("bitorch", "padding.side=same", "padding.side=same contradicts .* with padding.side=symmetric"),
        ("bitorch", "stem=imagenet", "stem=imagenet contradicts .* with stem=cifar"),
        ("larq", "model.input_norm=true", "model.input_norm=true contradicts"),
        ("larq", "downsample=binary", "downsample=binary contradicts .* with downsample=fp"),
        ("larq", "model=resnet_e34", "model=resnet_e34: --as resnet_e18 names the network"),
        ("larq", "data=cifar10", "data=cifar10 does nothing here"),
        ("larq", "recipe.epochs=3", "recipe.epochs=3 does nothing here"),
        ("larq", "stem=other", "stem/other.*cifar_2018"),
        ("larq", "model.width=wide", "model.width=wide"),
    ],
)
def test_an_override_that_contradicts_the_file_or_does_nothing_is_refused_by_name(
    library: str, override: str, named: str, tmp_path: Path
) -> None:
    path = saved(tiny(library).numbered(), library, tmp_path)
    with pytest.raises(SettingsError, match=named) as caught:
        convert(path, "resnet_e18", [override])
    assert "\n" not in str(caught.value)


def test_overrides_that_agree_or_say_how_the_network_was_trained_are_kept(tmp_path: Path) -> None:
    path = saved(tiny().numbered(), "larq", tmp_path)
    trained = (
        "padding=zero",
        "padding.side=same",
        "stem=cifar_2018",
        "grad.clip=1.25",
        "latent=clamped",
        "init=glorot",
    )
    config = convert(path, "resnet_e18", [*TINY, *trained]).facts.config
    assert (config["grad"]["clip"], config["latent"]["name"], config["init"]["name"]) == (1.25, "clamped", "glorot")


def test_every_field_of_the_design_is_a_convention_or_a_matter_of_training(tmp_path: Path) -> None:
    config = convert(saved(tiny().numbered(), "larq", tmp_path), "resnet_e18", TINY).facts.config
    fields = {f"{axis}.{field}" for axis in AXES for field in config[axis]}
    said = {"stem.name", *conventions.RESNET_E, *conventions.PADDING["larq"], *conventions.COMMON}
    assert {path for path in fields - said if path.partition(".")[0] not in conventions.TRAINING_AXES} == set()


# --- the checkpoint and the command ----------------------------------------------------------------------------------


def test_a_network_read_back_is_the_one_that_was_written(tmp_path: Path) -> None:
    net = tiny(in_channels=2).random(seed=5)
    path = saved(net, "larq", tmp_path)
    converted = convert(path, "resnet_e18", TINY, image_size=16)
    converted.write(tmp_path / "network.ckpt")
    network, facts = load_network(tmp_path / "network.ckpt")
    assert facts == converted.facts
    assert (facts.in_channels, facts.num_classes, facts.image_size) == (2, 5, 16)
    assert (facts.source.file, facts.source.kind) == ("net.larq", "larq")
    assert facts.source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert facts.config["padding"] == {"name": "zero", "side": "same"}
    assert facts.config["model"]["channels"] == [4, 8, 12]
    assert not network.training
    for key, value in net.values.items():
        assert torch.equal(network.state_dict()[key], value), key
    checkpoint = torch.load(tmp_path / "network.ckpt", weights_only=True)
    assert set(checkpoint["state_dict"]) == {f"network.{key}" for key in network.state_dict()}


def test_loading_leaves_torchs_generator_where_it_was(tmp_path: Path) -> None:
    convert(saved(tiny().numbered(), "larq", tmp_path), "resnet_e18", TINY).write(tmp_path / "network.ckpt")
    before = torch.random.get_rng_state()
    load_network(tmp_path / "network.ckpt")
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda saved: saved.pop("bnn_ablate_network"), "is no network that bnn_ablate.interop wrote"),
        (lambda saved: saved.pop("state_dict"), "holds no state_dict"),
        (lambda saved: saved["state_dict"].pop("network.head.3.bias"), r"lacks head\.3\.bias"),
        (lambda saved: saved["state_dict"].update({"network.odd": torch.zeros(1)}), "holds odd"),
        (
            lambda saved: saved["state_dict"].update({"network.head.3.bias": torch.zeros(4)}),
            r"head\.3\.bias has the shape \(4,\) where its network has \(5,\)",
        ),
        (lambda saved: saved["bnn_ablate_network"].pop("num_classes"), "not known here: num_classes"),
        (lambda saved: saved["bnn_ablate_network"]["config"]["stem"].update(name="none"), r"stem\.name"),
        (lambda saved: saved["bnn_ablate_network"]["config"]["model"].update(width=0.1), "gives 0.4 features"),
        (lambda saved: saved["bnn_ablate_network"].update(config=3), "does not describe its network"),
    ],
)
def test_a_checkpoint_that_does_not_hold_the_network_it_describes_is_refused(
    change: Callable[[dict[str, Any]], None], named: str, tmp_path: Path
) -> None:
    path = tmp_path / "network.ckpt"
    convert(saved(tiny().numbered(), "larq", tmp_path), "resnet_e18", TINY).write(path)
    checkpoint = torch.load(path, weights_only=True)
    change(checkpoint)
    torch.save(checkpoint, path)
    with pytest.raises(InteropError, match=named) as caught:
        load_network(path)
    assert str(path) in str(caught.value)


def test_a_checkpoint_older_than_an_axis_gets_what_networks_were_before_it(tmp_path: Path) -> None:
    path = tmp_path / "network.ckpt"
    convert(saved(tiny("bitorch").numbered(), "bitorch", tmp_path), "resnet_e18", TINY).write(path)
    checkpoint = torch.load(path, weights_only=True)
    config = checkpoint["bnn_ablate_network"]["config"]
    del config["bottleneck"], config["padding"]["side"]
    torch.save(checkpoint, path)
    design = load_network(path)[1].design
    assert (design.bottleneck.name, design.padding.side) == ("none", "symmetric")


def test_the_command_says_what_it_recognised_and_where_it_wrote_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    net = resnet_e("larq", [2, 2, 2, 2], [64, 128, 256, 512], kernel=7, classes=1000)
    write_keras(Path("weights.h5"), net.numbered())
    assert main(["weights.h5", "--as", "resnet_e18", "grad.clip=1.25"]) == 0
    first, second, third, last = capsys.readouterr().out.splitlines()
    assert first == (
        "weights.h5: Larq Zoo, model=resnet_e18 stem=imagenet padding=zero padding.side=same, 3 channels, 1000 classes"
    )
    # Larq's documentation counts 11,689,640; 10,985,472 bits and 704,168 floats are the authors' 3.996 MiB. A kernel
    # and 2 BatchNorms of the stem, 16 of both in bodies and 3 in shortcuts, kernel and bias of the classifier: 106.
    assert second == "  106 tensors, 11,689,640 parameters, 3.996 MiB with a bit a binary weight"
    assert third == "  images of 224x224, which the file does not say: the usual one of stem=imagenet"
    assert last == "weights.ckpt written"
    network, _ = load_network(Path("weights.ckpt"))
    assert torch.equal(network.state_dict()["stem.4.running_var"], net.values["stem.4.running_var"])


def test_the_command_says_where_odd_maps_make_other_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tiny_dense().numbered(), "larq", tmp_path)
    command = [str(path), "--as", "binary_densenet37_dilated", *TINY_DENSE, "--out", str(tmp_path / "out.ckpt")]
    for size, odd in (("30", False), ("31", True)):  # dilated: one pooling
        assert main([*command, "--image-size", size]) == 0
        assert ("rounds down" in capsys.readouterr().out) == odd


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["net.larq"], "error: the following arguments are required: --as (--help says more)"),
        (
            ["net.larq", "--as", "resnet18"],
            "error: --as resnet18 is no network that files hold: choose one of resnet_e18,",
        ),
        (["none.h5", "--as", "resnet_e18"], "error: none.h5 cannot be read: No such file or directory"),
        (["net.larq", "--as", "resnet_e18", *TINY, "--image-size", "3"], "error: --image-size 3 must be at least 4"),
        (["net.larq", "--as", "resnet_e18", *TINY, "--out", "no/net.ckpt"], "error: no/net.ckpt cannot be written"),
        (["net.larq", "--as", "resnet_e18", *TINY, "--out", "net.larq"], "error: net.larq is there already and is no"),
    ],
)
def test_the_command_answers_what_is_wrong_with_a_sentence_and_writes_nothing(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    before = saved(tiny().numbered(), "larq", Path()).read_bytes()
    try:
        code = main(arguments)
    except SystemExit as leaving:
        code = leaving.code
    assert code == 1
    printed = capsys.readouterr().out
    assert printed.startswith(sentence)
    assert printed.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["net.larq"]
    assert Path("net.larq").read_bytes() == before
