"""Damaged and dishonest packed files are refused, each in the sentence that says what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from packed_file_checks import refusal
from packed_file_factories import ALL, SMALL, Parts, assembled, spelled
from safetensors.numpy import save

from bnn_ablate.packed import description
from bnn_ablate.packed.file import graph_from_bytes


def test_every_flipped_bit_is_found() -> None:
    for position in range(len(SMALL)):
        for bit in range(8):
            flipped = bytearray(SMALL)
            flipped[position] ^= 1 << bit
            refusal(bytes(flipped))


def test_every_truncation_is_found() -> None:
    for length in range(len(SMALL)):
        refusal(SMALL[:length])


BYTES = {
    "nothing": (b"", "is truncated: the length of a header takes 8 bytes, and 0 are there"),
    "half a length": (SMALL[:5], "is truncated: the length of a header takes 8 bytes, and 5 are there"),
    "half a header": (SMALL[:100], "is truncated: its header has 896 bytes, and 92 are there"),
    "half a tensor": (SMALL[:-3], "is truncated: its tensors have 9 bytes, and 6 are there"),
    "more": (SMALL + bytes(5), "is damaged: 5 bytes follow its last tensor"),
    "another file": (
        b"\x89HDF\r\n\x1a\n" + bytes(99),
        f"is no packed file, or damaged: its header would have {0x0A1A0A0D46444889} bytes, and at most 16777216",
    ),
    "header above the limit": (
        (2**24 + 1).to_bytes(8, "little") + SMALL[8:],
        "is no packed file, or damaged: its header would have 16777217 bytes, and at most 16777216",
    ),
    "no text": (b"\2" + bytes(7) + b"\xff\xff", "is no packed file, or damaged: its header is no UTF-8"),
    "no JSON": (
        assembled("hello", b""),
        "is no packed file, or damaged: its header is no JSON: Expecting value: line 1 column 1 (char 0)",
    ),
    "a list": (assembled([], b""), "is invalid: its header is [] and must be an object"),
    "deep": (assembled("[" * 100_000, b""), "is damaged: its header is JSON nested too deeply"),
    "a key twice": (assembled('{"a": 1, "a": 1}', b""), "is damaged: its header has 'a' twice in one object"),
    "another network": (
        save({"weight": np.zeros(3, np.float32)}),
        "is no packed network: the metadata of the safetensors file has no entry bnn_ablate",
    ),
    "metadata of another type": (
        assembled({"__metadata__": {"bnn_ablate": 1}}, b""),
        "is damaged: 'bnn_ablate' in its metadata is 1 and must be text",
    ),
    "metadata is a list": (
        assembled({"__metadata__": [1]}, b""),
        "is invalid: its metadata is [1] and must be an object",
    ),
    "more metadata": (
        assembled({"__metadata__": {"bnn_ablate": "{}", "a": "b"}}, b""),
        "is invalid: its metadata has the unknown field 'a'; known: bnn_ablate",
    ),
    "document no JSON": (
        assembled({"__metadata__": {"bnn_ablate": "{"}}, b""),
        "is no packed file, or damaged: its document is no JSON: "
        "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
    ),
    "document NaN": (
        assembled({"__metadata__": {"bnn_ablate": '{"version": NaN}'}}, b""),
        "is damaged: its document holds NaN, and numbers must be finite",
    ),
    "document infinite": (
        assembled({"__metadata__": {"bnn_ablate": '{"version": -1e999}'}}, b""),
        "is damaged: its document holds -1e999, and numbers must be finite",
    ),
    "document deep": (
        assembled({"__metadata__": {"bnn_ablate": "[" * 100_000}}, b""),
        "is damaged: its document is JSON nested too deeply",
    ),
    "document huge integer": (
        assembled({"__metadata__": {"bnn_ablate": '{"version": %s}' % ("9" * 1_000_000)}}, b""),
        "is damaged: its document holds an integer of 1000000 characters, at most 19",
    ),
    "document spelled otherwise": (
        SMALL[:8].replace(b"\x80\x03", b"\x81\x03") + SMALL[8:].replace(rb"{\"bits", rb"{ \"bits", 1),
        "is damaged: its document is spelled otherwise than this format's (keys sorted, no spaces, ASCII)",
    ),
}


@pytest.mark.parametrize(("content", "sentence"), BYTES.values(), ids=BYTES)
def test_bytes_that_are_no_packed_file_are_refused(content: bytes, sentence: str) -> None:
    assert refusal(content) == sentence


def test_a_header_of_many_keys_with_one_twice_is_refused_in_time() -> None:
    keys = ",".join(f'"{number}":0' for number in range(300_000))
    assert (
        refusal(assembled(f'{{{keys},"299999":0}}', b"")) == "is damaged: its header has '299999' twice in one object"
    )


HEADER: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "begins before": (
        lambda h: h["fc.bias"].update(data_offsets=[-8, 0]),
        "is damaged: tensor fc.bias begins before the first byte",
    ),
    "overlap": (
        lambda h: h["fc.weight"].update(data_offsets=[7, 8]),
        "is damaged: tensor fc.weight overlaps tensor fc.bias",
    ),
    "gap": (
        lambda h: h["fc.weight"].update(data_offsets=[10, 11]),
        "is damaged: before tensor fc.weight there are 2 bytes of no tensor",
    ),
    "outside": (
        lambda h: (
            h["fc.bias"].update(shape=[1000], data_offsets=[9, 4009])
            or h["fc.weight"].update(shape=[9], data_offsets=[0, 9])
        ),
        "is truncated: its tensors have 4009 bytes, and 9 are there",
    ),
    "other size": (
        lambda h: h["fc.bias"].update(shape=[3]),
        "is damaged: tensor fc.bias takes 12 bytes as F32 of shape [3], and has 8",
    ),
    "overflow": (
        lambda h: h["fc.bias"].update(shape=[2**62, 2, 2]),
        f"is damaged: tensor fc.bias takes {2**66} bytes as F32 of shape [{2**62}, 2, 2], and has 8",
    ),
    "no values": (
        lambda h: h["fc.bias"].update(shape=[0, 2]),
        "is damaged: tensor fc.bias has the shape [0, 2], which holds no value",
    ),
    "negative": (
        lambda h: h["fc.bias"].update(shape=[-1, -2]),
        "is damaged: tensor fc.bias has the shape [-1, -2], which holds no value",
    ),
    "dtype": (
        lambda h: h["fc.bias"].update(dtype="F64"),
        "is invalid: dtype of tensor fc.bias is 'F64' and must be one of U8, F32",
    ),
    "bool": (
        lambda h: h["fc.bias"].update(data_offsets=[False, 8]),
        "is invalid: data_offsets of tensor fc.bias is [False, 8] and must be 2 whole numbers",
    ),
    "unknown field": (
        lambda h: h["fc.bias"].update(strides=[4]),
        "is invalid: tensor fc.bias has the unknown field 'strides'; known: dtype, shape, data_offsets",
    ),
    "missing field": (lambda h: h["fc.bias"].pop("dtype"), "is invalid: tensor fc.bias has no field dtype"),
    "no object": (lambda h: h.update({"fc.bias": 1}), "is invalid: tensor fc.bias is 1 and must be an object"),
    "long name": (
        lambda h: h.update({"x" * 257: h.pop("fc.bias")}),
        f"is invalid: the name of a tensor is '{'x' * 56}... and must be 1 to 256 printable ASCII characters",
    ),
    "name not printable": (
        lambda h: h.update({"a\x1b[2J": h.pop("fc.bias")}),
        "is invalid: the name of a tensor is 'a\\x1b[2J' and must be 1 to 256 printable ASCII characters",
    ),
}


@pytest.mark.parametrize(("damage", "sentence"), HEADER.values(), ids=HEADER)
def test_a_header_that_does_not_fit_its_tensors_is_refused(damage: Callable[[Any], object], sentence: str) -> None:
    parts = Parts.of(SMALL)
    damage(parts.header)
    assert refusal(parts.content) == sentence


def node(document: Any, name: str = "fc") -> Any:
    return next(node for node in document["graph"]["nodes"] if node["name"] == name)


def values(document: Any, name: str = "fc") -> Any:
    return node(document, name)["attributes"]


DOCUMENT: dict[str, tuple[Callable[[Any], object], str]] = {
    "format": (
        lambda d: d.update(format="GGUF"),
        "is no packed network: its format is 'GGUF' and not 'bnn_ablate packed network'",
    ),
    "no format": (
        lambda d: d.pop("format"),
        "is no packed network: its format is None and not 'bnn_ablate packed network'",
    ),
    "version": (lambda d: d.update(version=2), "has version 2 of the format: version 1 is read"),
    "later version with more": (
        lambda d: d.update(version=3, compression="zstd"),
        "has version 3 of the format: version 1 is read",
    ),
    "version true": (lambda d: d.update(version=True), "is damaged: its version is True and must be a whole number"),
    "version 1.0": (lambda d: d.update(version=1.0), "is damaged: its version is 1.0 and must be a whole number"),
    "unknown field": (
        lambda d: d.update(author="me"),
        "is invalid: its document has the unknown field 'author'; known: format, version, bits, graph, checksums",
    ),
    "missing field": (lambda d: d.pop("graph"), "is invalid: its document has no field graph"),
    "bits": (lambda d: d.update(bits="1 means +1"), "is damaged: what it says of bits is not what this format says"),
    "checksums": (lambda d: d.update(checksums="none"), "is invalid: checksums is 'none' and must be an object"),
    "graph": (lambda d: d.update(graph=[]), "is invalid: graph is [] and must be an object"),
    "image_shape": (
        lambda d: d["graph"].update(image_shape=[3, 1]),
        "is invalid: image_shape is [3, 1] and must be 3 whole numbers",
    ),
    "image_shape huge": (
        lambda d: d["graph"].update(image_shape=[3, 2**62, 1]),
        f"holds no network: image has the shape (3, {2**62}, 1): sizes are 1 to 65536 channels and 16384 pixels",
    ),
    "no nodes": (
        lambda d: d["graph"].update(nodes=[]),
        "is invalid: nodes is [] and must be a list of 1 to 4096",
    ),
    "too many nodes": (
        lambda d: d["graph"].update(nodes=[0] * 4097),
        "is invalid: nodes is a list of 4097 and must be a list of 1 to 4096",
    ),
    "kind": (
        lambda d: node(d).update(kind="Softmax"),
        "is invalid: kind of fc is 'Softmax' and must be one of "
        "Affine, Activation, BinaryConv, Conv, Pool, AbsMean, Multiply, Add, Concat",
    ),
    "no name": (lambda d: node(d).pop("name"), "is invalid: node 0 has no field name"),
    "empty name": (
        lambda d: node(d).update(name=""),
        "is invalid: the name of node 0 is '' and must be 1 to 256 printable ASCII characters",
    ),
    "surrogate": (
        lambda d: node(d).update(name="\ud800"),
        "is invalid: the name of node 0 is '\\ud800' and must be 1 to 256 printable ASCII characters",
    ),
    "image twice": (lambda d: node(d).update(name="image"), "holds no network: image is there twice"),
    "reads itself": (
        lambda d: node(d).update(inputs=["fc"]),
        "holds no network: fc reads fc, which does not come before it",
    ),
    "no inputs": (
        lambda d: node(d).update(inputs=[]),
        "is invalid: inputs of fc is [] and must be a list of 1 to 4096 names",
    ),
    "inputs a text": (
        lambda d: node(d).update(inputs="image"),
        "is invalid: inputs of fc is 'image' and must be a list of 1 to 4096 names",
    ),
    "unknown attribute": (
        lambda d: values(d).update(padding=1),
        "is invalid: Conv fc has the unknown field 'padding'; known: "
        "stride, borders, weight, bias, border, dilation, groups",
    ),
    "missing attribute": (lambda d: values(d).pop("stride"), "is invalid: Conv fc has no field stride"),
    "a bool is no integer": (
        lambda d: values(d).update(stride=[True, 1]),
        "is invalid: stride of fc is [True, 1] and must be 2 whole numbers",
    ),
    "groups true": (
        lambda d: values(d).update(groups=True),
        "is invalid: groups of fc is True and must be of type int",
    ),
    "an integer is no float": (
        lambda d: values(d).update(border=0),
        "is invalid: border of fc is 0 and must be of type float",
    ),
    "stride 0": (
        lambda d: values(d).update(stride=[0, 1]),
        "holds no network: fc: stride=(0, 1) must be 2 whole numbers from 1 to 16384",
    ),
    "no reference": (
        lambda d: values(d).update(weight="fc.weight"),
        "is invalid: weight of fc is 'fc.weight' and must have the fields floats or signs, and shape",
    ),
    "signs for floats": (
        lambda d: values(d).update(bias={"signs": "fc.bias", "shape": [2]}),
        "is invalid: bias of fc is {'shape': [2], 'signs': 'fc.bias'} and must have the fields floats, and shape",
    ),
    "both": (
        lambda d: values(d).update(weight={"signs": "fc.weight", "floats": "fc.weight"}),
        "is invalid: weight of fc has no field shape",
    ),
    "no such tensor": (
        lambda d: values(d)["bias"].update(floats="gone"),
        "is invalid: bias of fc is to be in tensor gone, which is not there or belongs to another",
    ),
    "tensor twice": (
        lambda d: values(d)["bias"].update(floats="fc.weight"),
        "is invalid: bias of fc is to be in tensor fc.weight, which is not there or belongs to another",
    ),
    "floats where bits are": (
        lambda d: values(d).update(weight={"floats": "fc.weight", "shape": [1]}),
        "is invalid: tensor fc.weight is U8 of shape [1] and must be F32 of shape [1]",
    ),
    "shape does not match": (
        lambda d: values(d)["weight"].update(shape=[3, 3, 1, 1]),
        "is invalid: tensor fc.weight is U8 of shape [1] and must be U8 of shape [2], the bits of [3, 3, 1, 1]",
    ),
    "shape overflows": (
        lambda d: values(d)["weight"].update(shape=[2**62, 2**62, 1, 1]),
        f"is invalid: weight of fc has the shape [{2**62}, {2**62}, 1, 1]: 1 to 268435456 values",
    ),
    "shape of no values": (
        lambda d: values(d)["weight"].update(shape=[0, 3, 1, 1]),
        "is invalid: weight of fc has the shape [0, 3, 1, 1]: 1 to 268435456 values",
    ),
    "shape of no axes": (
        lambda d: values(d)["weight"].update(shape=[]),
        "is invalid: shape of weight of fc is [] and must be 1 to 8 whole numbers",
    ),
    "shape of the right size": (
        lambda d: values(d)["weight"].update(shape=[3, 2, 1, 1]),
        "holds no network: fc: bias has 2 values for 3 channels",
    ),
}


@pytest.mark.parametrize(("damage", "sentence"), DOCUMENT.values(), ids=DOCUMENT)
def test_a_description_of_no_network_is_refused(damage: Callable[[Any], object], sentence: str) -> None:
    """Checksums are made to fit: this is what a file says that was written wrongly or in bad faith."""
    parts = Parts.of(SMALL)
    damage(parts.document)
    assert refusal(parts.sealed().content) == sentence


OTHERS: dict[str, tuple[str, dict[str, Any], str]] = {
    "function": (
        "sign",
        {"function": "gelu"},
        "is invalid: function of sign is 'gelu' and must be one of relu, clip, leaky_clip, sign",
    ),
    "border 2": ("binary", {"border": 2}, "is invalid: border of binary is 2 and must be one of -1, 0, 1"),
    "border true": ("binary", {"border": True}, "is invalid: border of binary is True and must be one of -1, 0, 1"),
    "border 1.0": ("binary", {"border": 1.0}, "is invalid: border of binary is 1.0 and must be one of -1, 0, 1"),
    "borders": ("pool", {"borders": [0, 1]}, "is invalid: borders of pool is [0, 1] and must be 4 whole numbers"),
    "kind": ("pool", {"kind": "sum"}, "is invalid: kind of pool is 'sum' and must be one of max, mean"),
    "no attributes": ("sum", {"scale": 1}, "is invalid: Add sum has the unknown field 'scale'; known: none"),
}


@pytest.mark.parametrize(("name", "changed", "sentence"), OTHERS.values(), ids=OTHERS)
def test_an_attribute_that_its_operator_does_not_know_is_refused(
    name: str, changed: dict[str, Any], sentence: str
) -> None:
    parts = Parts.of(ALL)
    values(parts.document, name).update(changed)
    assert refusal(parts.sealed().content) == sentence


def test_a_forward_reference_is_refused() -> None:
    parts = Parts.of(ALL)
    parts.document["graph"]["nodes"][:2] = parts.document["graph"]["nodes"][1::-1]
    assert refusal(parts.sealed().content) == "holds no network: sign reads norm, which does not come before it"


def test_a_checksum_that_does_not_fit_is_refused() -> None:
    graph = Parts.of(SMALL)
    values(graph.document)["border"] = 1.0
    assert refusal(graph.content) == "is damaged: its graph has another checksum than it says"
    tensors = Parts.of(SMALL)
    tensors.data = np.array([1, 2], np.float32).tobytes() + tensors.data[8:]
    assert refusal(tensors.content) == "is damaged: its tensors have another checksum than it says"
    assert graph_from_bytes(tensors.sealed().content, "net").nodes[0].bias.tolist() == [1, 2]  # type: ignore[attr-defined]


def test_values_that_are_not_finite_are_refused() -> None:
    parts = Parts.of(SMALL)
    parts.data = np.array([1, np.nan], np.float32).tobytes() + parts.data[8:]
    assert refusal(parts.sealed().content) == "holds no network: fc: bias holds values that are not finite"


def test_bits_behind_the_last_sign_are_refused() -> None:
    parts = Parts.of(SMALL)
    parts.data = parts.data[:8] + b"\xa5"
    assert refusal(parts.sealed().content) == "is invalid: tensor fc.weight has bits set behind its 6 signs"


def test_a_tensor_that_nothing_reads_is_refused() -> None:
    parts = Parts.of(SMALL)
    parts.header["spare"] = {"dtype": "U8", "shape": [4], "data_offsets": [9, 13]}
    parts.data += b"abcd"
    assert refusal(parts.sealed().content) == "is invalid: tensor spare belongs to no node"


def test_signs_are_counted_before_they_are_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(description, "MAX_VALUES", 80)
    assert refusal(ALL) == "is invalid: signs of binary has the shape [3, 3, 3, 3]: 1 to 80 values"
    monkeypatch.setattr(description, "MAX_VALUES", 100)
    # 81 of the binary convolution and 72 of the classifier
    assert refusal(ALL) == "has more than 100 signs"


def test_a_document_nested_just_not_too_deeply_for_its_parser_is_refused() -> None:
    for depth in range(1, 1000):
        parts = Parts.of(SMALL)
        text = spelled(parts.document).replace('"border":0.0', f'"border":{"[" * depth}{"]" * depth}')
        refusal(assembled(json.dumps({"__metadata__": {"bnn_ablate": text}, **parts.header}), parts.data))
