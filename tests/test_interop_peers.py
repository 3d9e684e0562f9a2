"""Networks that larq-zoo and bitorch made and ran themselves give the same answers here, from their own files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bnn_ablate.interop import convert, load_network

PEERS = Path(os.environ.get("BNN_ABLATE_DATA", "")) / ".." / "peers"
pytestmark = pytest.mark.skipif(
    "BNN_ABLATE_DATA" not in os.environ or not PEERS.is_dir(),
    reason="the peers' networks lie beside $BNN_ABLATE_DATA, in ../peers, which is not there",
)

#: A signed sum is exact; what is left are the roundings of BatchNorm and of the float layers.
TOLERANCE = 1e-4


def weight_file(name: str, folder: Path) -> Path:
    """The peer's own file, or for bitorch a state_dict of what it recorded, with kernels of +-1."""
    if name.startswith("larq"):
        return PEERS / f"{name}_weights.h5"
    state = {}
    with np.load(PEERS / f"{name}.npz") as peer:
        for key in peer.files:
            part, _, weight = key.partition("/")
            if part == "signs":
                shape = tuple(peer[f"shape/{weight}"])
                bits = np.unpackbits(peer[key])[: int(np.prod(shape))]
                state[weight] = torch.from_numpy(1 - 2 * bits.astype("float32")).reshape(shape)
            elif part == "float" and weight.startswith("_model."):
                value = torch.from_numpy(peer[key])
                state[weight] = value.long() if weight.endswith("num_batches_tracked") else value
    path = folder / f"{name}.pt"
    torch.save(state, path)
    return path


def images_of(peer: Any) -> Tensor:
    """The input as (N, C, H, W)."""
    if "float/input_nchw" in peer:
        return torch.from_numpy(peer["float/input_nchw"])
    return torch.from_numpy(peer["float/input"]).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Peer:
    """A peer's network: what it should be recognised as, and which outputs of ours it recorded under which names."""

    model: str
    stem: str
    padding: tuple[str, str]
    blocks: dict[str, str]


LARQ, BITORCH = ("zero", "same"), ("minus_one", "symmetric")
BLOCKS = [(stage, block) for stage in range(4) for block in range(4)]
FEATURES = "_model.features"
PEERS_NETWORKS = {
    "larq_BinaryResNetE18_cifar": Peer(
        "resnet_e18",
        "cifar_2018",
        LARQ,
        {f"stages.{stage}.{block}": f"add_{4 * stage + block}".removesuffix("_0") for stage, block in BLOCKS},
    ),
    # Layers 6, 12 and 18 are the first of the stages 2, 3 and 4, between which our transitions stand.
    "larq_BinaryDenseNet28_cifar": Peer(
        "binary_densenet28",
        "cifar_2018",
        LARQ,
        {
            "stages.2.0": "concatenate_6",
            **{f"stages.4.{layer}": f"concatenate_{12 + layer}" for layer in range(6)},
            **{f"stages.6.{layer}": f"concatenate_{18 + layer}" for layer in range(5)},
        },
    ),
    "bitorch_ResnetE18_cifar": Peer(
        "resnet_e18",
        "cifar",
        BITORCH,
        {f"stages.{stage}.{block}": f"{FEATURES}.{stage + 2}.{block}" for stage, block in BLOCKS},
    ),
    "bitorch_DenseNet28_cifar": Peer(
        "binary_densenet28",
        "cifar_2018",
        BITORCH,
        {
            "stages.1": f"{FEATURES}.Transition_1",
            "stages.3": f"{FEATURES}.Transition_2",
            "stages.4": f"{FEATURES}.DenseBlock_3",
            "stages.5": f"{FEATURES}.Transition_3",
            "stages.6": f"{FEATURES}.DenseBlock_4",
        },
    ),
}


@pytest.mark.parametrize("name", list(PEERS_NETWORKS))
def test_a_peers_network_gives_the_peers_logits_and_the_outputs_of_its_blocks(name: str, tmp_path: Path) -> None:
    peer = PEERS_NETWORKS[name]
    convert(weight_file(name, tmp_path), peer.model).write(tmp_path / "network.ckpt")
    network, facts = load_network(tmp_path / "network.ckpt")
    design = facts.design
    assert (design.stem.name, (design.padding.name, design.padding.side)) == (peer.stem, peer.padding)
    assert (facts.in_channels, facts.num_classes, facts.image_size) == (3, 10, 32)
    blocks = record_outputs(network, list(peer.blocks))
    with np.load(PEERS / f"{name}.npz") as recorded:
        with torch.no_grad():
            logits = network(images_of(recorded))
        expected = torch.from_numpy(recorded["float/logits"])
        spread = (expected[0] - expected[1]).abs().max()
        assert (logits - expected).abs().max() <= TOLERANCE * spread
        assert torch.equal(logits.argmax(1), expected.argmax(1))
        for ours, theirs in peer.blocks.items():
            output = torch.from_numpy(recorded[f"block/{theirs}"])  # of the first image
            if name.startswith("larq"):
                output = output.permute(0, 3, 1, 2)
            difference = (blocks[ours][:1] - output).abs().max()
            assert difference <= TOLERANCE * output.std(), ours


def record_outputs(network: nn.Module, names: list[str]) -> dict[str, Tensor]:
    """A dict that the named layers fill with copies of what they give, at the next forward pass."""
    found: dict[str, Tensor] = {}
    for name in names:

        def note(_: nn.Module, __: Any, output: Tensor, name: str = name) -> None:
            found[name] = output.clone()

        network.get_submodule(name).register_forward_hook(note)
    return found
