"""A packed network comes back from its file bit by bit, at a bit a sign; where there is no file, a sentence says so."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from packed_file_checks import assert_same
from packed_file_factories import ALL, SMALL, Parts, every_kind, smallest, spelled
from safetensors.numpy import load, save

from bnn_ablate.packed import container, file
from bnn_ablate.packed.file import PackedFileError, graph_from_bytes, graph_to_bytes, read_graph, write_graph
from bnn_ablate.packed.graph import KINDS, Activation, Concat, Conv, Graph, attributes

# --- there and back ------------------------------------------------------------------------------------------------


def test_a_graph_of_every_kind_comes_back_bit_by_bit(tmp_path: Path) -> None:
    graph = every_kind()
    assert {type(node).__name__ for node in graph.nodes} == set(KINDS)
    path = tmp_path / "net.safetensors"
    size = write_graph(path, graph)
    assert size == path.stat().st_size
    assert_same(graph, read_graph(path))
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.safetensors"]


def test_the_same_graph_gives_the_same_bytes() -> None:
    assert graph_to_bytes(every_kind()) == ALL
    assert graph_to_bytes(graph_from_bytes(ALL, "net")) == ALL


def test_arrays_that_are_not_contiguous_are_written_in_c_order() -> None:
    (node,) = smallest().nodes
    assert isinstance(node, Conv)
    turned = np.asfortranarray(node.weight)
    strided = np.repeat(node.bias, 2)[::2]
    assert graph_to_bytes(Graph((3, 1, 1), (replace(node, weight=turned, bias=strided),))) == SMALL


def test_other_programs_read_the_tensors_with_the_safetensors_library() -> None:
    tensors = load(SMALL)
    # -1 +1 -1 and +1 +1 -1 are the bits 101 001, from the highest on; 0.5 and -2 are floats
    assert tensors["fc.weight"].tolist() == [0b10100100]
    assert tensors["fc.bias"].tolist() == [0.5, -2.0]
    assert tensors["fc.bias"].dtype == np.float32
    assert set(tensors) == {"fc.weight", "fc.bias"}


def test_a_file_that_the_safetensors_library_wrote_again_is_read() -> None:
    document = {"bnn_ablate": spelled(Parts.of(ALL).document)}
    assert_same(graph_from_bytes(save(load(ALL), document), "net"), every_kind())


def test_floats_need_not_be_aligned_in_the_file() -> None:
    parts = Parts.of(SMALL)
    parts.header["fc.bias"]["data_offsets"], parts.header["fc.weight"]["data_offsets"] = [1, 9], [0, 1]
    parts.data = parts.data[8:] + parts.data[:8]
    assert_same(graph_from_bytes(parts.content, "net"), smallest())


@pytest.mark.parametrize(("model", "mebibytes"), [("resnet_e18", 4.00), ("binary_densenet28", 4.05)])
def test_an_imagenet_network_takes_a_bit_a_sign_weight_and_32_every_other_number(model: str, mebibytes: float) -> None:
    from bnn_ablate.composing import network_settings
    from bnn_ablate.packed.fold import fold
    from bnn_ablate.packed.lower import lower
    from bnn_ablate.summary import network_of

    network, image_shape, _ = network_of(network_settings([f"model={model}", "data=image_folder"]))
    graph = fold(lower(network.eval(), image_shape))
    arrays = [value for node in graph.nodes for value in attributes(node).values() if isinstance(value, np.ndarray)]
    ideal = sum(array.size / 8 if array.dtype == np.bool_ else array.size * 4 for array in arrays)
    size = len(graph_to_bytes(graph))
    assert size <= 1.02 * ideal
    assert size / 2**20 == pytest.approx(mebibytes, rel=0.02)


# --- no file ----------------------------------------------------------------------------------------------------


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackedFileError, match=r"net\.safetensors does not exist$"):
        read_graph(tmp_path / "net.safetensors")
    with pytest.raises(PackedFileError, match=f"{tmp_path} is no file$"):
        read_graph(tmp_path)
    # opening a pipe would wait for ever
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PackedFileError, match=r"pipe is no file$"):
        read_graph(tmp_path / "pipe")
    (tmp_path / "text").write_text("x")
    with pytest.raises(PackedFileError, match=r"text/net cannot be read: Not a directory$"):
        read_graph(tmp_path / "text" / "net")


def test_a_file_above_the_limit_is_refused_unread(tmp_path: Path) -> None:
    with open(tmp_path / "net", "wb") as sparse:
        sparse.truncate(2**32 + 1)
    with pytest.raises(PackedFileError, match=r"net has 4294967297 bytes: at most 4294967296 are read$"):
        read_graph(tmp_path / "net")


def test_the_file_is_named_and_what_is_wrong_with_it(tmp_path: Path) -> None:
    path = tmp_path / "net"
    path.write_bytes(SMALL + b"x")
    with pytest.raises(PackedFileError) as caught:
        read_graph(path)
    assert str(caught.value) == f"{path} is damaged: 1 bytes follow its last tensor"


def test_a_file_that_shrinks_while_it_is_read_is_refused() -> None:
    with pytest.raises(container.Refused, match="became shorter while it was read"):
        container.read_container(io.BytesIO(SMALL[:-1]), len(SMALL))


@pytest.mark.parametrize(
    ("raised", "sentence"),
    [
        (MemoryError(), f"net takes more memory than there is: {len(SMALL)} bytes"),
        (RecursionError(), "net is damaged: its JSON is nested too deeply"),
    ],
    ids=["memory", "stack"],
)
def test_memory_and_stack_that_run_out_are_a_sentence_too(
    raised: Exception, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr(file, "read_container", fail)
    with pytest.raises(PackedFileError) as caught:
        graph_from_bytes(SMALL, "net")
    assert str(caught.value) == sentence


# --- what is not written -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a\nb", "é", "x" * 257, ""])
def test_a_graph_that_could_not_be_read_again_is_not_written(name: str, tmp_path: Path) -> None:
    graph = every_kind()
    last = replace(graph.nodes[-1], inputs=(name,))
    renamed = Graph(graph.image_shape, (*graph.nodes[:-2], replace(graph.nodes[-2], name=name), last))
    with pytest.raises(
        PackedFileError, match=r"^the graph cannot be packed: its file is invalid: the name of node 8 is"
    ):
        write_graph(tmp_path / "net", renamed)
    assert not list(tmp_path.iterdir())


def test_the_numbers_of_numpy_and_whole_borders_become_plain_ones() -> None:
    (conv,) = smallest().nodes
    plain = graph_from_bytes(graph_to_bytes(Graph((3, 1, 1), (replace(conv, border=0),))), "net")  # type: ignore[call-arg]
    assert_same(plain, smallest())
    graph = every_kind()
    changed = tuple(replace(n, border=np.int64(-1)) if n.name == "binary" else n for n in graph.nodes)  # type: ignore[call-arg]
    assert graph_to_bytes(Graph(graph.image_shape, changed)) == ALL


def test_as_many_inputs_as_a_graph_may_have_fit_into_the_limits() -> None:
    image = Activation(name="relu", inputs=("image",), function="relu")
    joined = Concat(name="joined", inputs=("relu",) * 4096)
    assert_same(
        graph_from_bytes(graph_to_bytes(Graph((1, 1, 1), (image, joined))), "net"), Graph((1, 1, 1), (image, joined))
    )
