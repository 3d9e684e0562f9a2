"""A :class:`~bnn_ablate.packed.graph.Graph` as a file: a sign weight takes one bit, every other number 32.

A safetensors file. Each array is a tensor ``<node>.<field>``: signs as U8 of one axis, packed as
:data:`~bnn_ablate.packed.description.BITS` says, floats as F32 of their own shape. The metadata's one entry,
``bnn_ablate``, is a JSON document: ``format``, ``version``, ``bits`` (the same in words), the ``graph`` with references
to tensors in place of arrays, and ``checksums``, SHA-256 of the graph's JSON and of the bytes of all tensors in the
order of their names. The document has one spelling (keys sorted, no spaces, ASCII), so that a graph has one file, and
no bit of it changes unseen.
"""

from __future__ import annotations

import hashlib
import io
import json
import stat
from pathlib import Path
from typing import Any, BinaryIO

from safetensors.numpy import save

from bnn_ablate.atomic import write_atomically
from bnn_ablate.packed.container import Refused, fields, read_container, shown, strict_json
from bnn_ablate.packed.description import BITS, describe, graph_of
from bnn_ablate.packed.graph import Graph, GraphError

FORMAT, VERSION = "bnn_ablate packed network", 1
#: The key of the document in the metadata.
ENTRY = "bnn_ablate"


class PackedFileError(ValueError):
    """A file that holds no packed network that can be trusted; the message names the file and what is wrong with it."""


def write_graph(path: Path, graph: Graph) -> int:
    """Write ``path``, which is whole or not there afterwards; the number of its bytes.

    Raises PackedFileError for a graph that could not be read again, OSError where the disk refuses.
    """
    content = graph_to_bytes(graph)
    write_atomically(path, content)
    return len(content)


def read_graph(path: Path) -> Graph:
    """The graph of a packed file. Raises PackedFileError, and nothing else, whatever the file holds."""
    try:
        # looked at before it is opened: opening a pipe would wait for its writer
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise PackedFileError(f"{path} is no file")
        with open(path, "rb") as file:
            return _guarded(file, found.st_size, str(path))
    except FileNotFoundError:
        raise PackedFileError(f"{path} does not exist") from None
    except OSError as error:
        raise PackedFileError(f"{path} cannot be read: {error.strerror}") from error


def graph_to_bytes(graph: Graph) -> bytes:
    """The content of a packed file, the same for the same graph.

    Raises PackedFileError where :func:`graph_from_bytes` would not read it: a name that is not printable, say.
    """
    described, tensors = describe(graph)
    checksums = {"graph": _sha256(_canonical(described).encode()), "tensors": _sha256_of_all(tensors)}
    document = {"format": FORMAT, "version": VERSION, "bits": BITS, "graph": described, "checksums": checksums}
    content = save(tensors, {ENTRY: _canonical(document)})
    _guarded(io.BytesIO(content), len(content), "the graph cannot be packed: its file")
    return content


def graph_from_bytes(content: bytes, name: str) -> Graph:
    """The graph of a packed file's ``content``; ``name`` is what a PackedFileError calls it."""
    return _guarded(io.BytesIO(content), len(content), name)


def _guarded(file: BinaryIO, size: int, name: str) -> Graph:
    try:
        return _read(file, size)
    except Refused as refused:
        raise PackedFileError(f"{name} {refused}") from None
    except GraphError as error:
        raise PackedFileError(f"{name} holds no network: {str(error)[:400]}") from error
    except RecursionError:
        # JSON that was just not too deep for its parser, in a message or a comparison
        raise PackedFileError(f"{name} is damaged: its JSON is nested too deeply") from None
    except MemoryError:
        raise PackedFileError(f"{name} takes more memory than there is: {size} bytes") from None


def _read(file: BinaryIO, size: int) -> Graph:
    metadata, tensors = read_container(file, size)
    if ENTRY not in metadata:
        raise Refused(f"is no packed network: the metadata of the safetensors file has no entry {ENTRY}")
    fields(metadata, (ENTRY,), "its metadata")
    document = fields(strict_json(metadata[ENTRY], "its document"), None, "its document")
    if document.get("format") != FORMAT:
        raise Refused(f"is no packed network: its format is {shown(document.get('format'))} and not {FORMAT!r}")
    # before anything that another version may have changed
    version = document.get("version")
    if type(version) is not int:
        raise Refused(f"is damaged: its version is {shown(version)} and must be a whole number")
    if version != VERSION:
        raise Refused(f"has version {version} of the format: version {VERSION} is read")
    fields(document, ("format", "version", "bits", "graph", "checksums"), "its document")
    if document["bits"] != BITS:
        raise Refused("is damaged: what it says of bits is not what this format says")
    if _canonical(document) != metadata[ENTRY]:
        raise Refused(
            "is damaged: its document is spelled otherwise than this format's (keys sorted, no spaces, ASCII)"
        )
    checksums = fields(document["checksums"], ("graph", "tensors"), "checksums")
    if checksums["graph"] != _sha256(_canonical(document["graph"]).encode()):
        raise Refused("is damaged: its graph has another checksum than it says")
    if checksums["tensors"] != _sha256_of_all({name: tensor.content for name, tensor in tensors.items()}):
        raise Refused("is damaged: its tensors have another checksum than it says")
    return graph_of(document["graph"], tensors)


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _sha256_of_all(tensors: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(tensors[name])
    return digest.hexdigest()
