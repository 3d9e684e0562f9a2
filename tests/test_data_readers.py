"""Readers of published files: pixels as they were written, checksums verified, pickles that cannot do harm."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import struct
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_factories import cifar_pickle, make_data
from PIL import Image

from bnn_ablate.data import DataError, ImageSet, load_splits
from bnn_ablate.data.parquet import read_shard
from bnn_ablate.data.pickles import read_pickle
from bnn_ablate.data.sources import CIFAR10, SOURCES, RemoteFile, Source

REAL = os.environ.get("BNN_ABLATE_DATA")
needs_real_data = pytest.mark.skipif(REAL is None, reason="BNN_ABLATE_DATA names no folder with the published images")


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def random_images(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, 32, 32), np.uint8)


def pixel_sum(images: np.ndarray, labels: list[int]) -> str:
    return hashlib.sha256(images.tobytes() + bytes(labels)).hexdigest()


TRAIN, TRAIN_LABELS = random_images(5, 1), [3, 9, 0, 3, 7]
TEST, TEST_LABELS = random_images(2, 2), [1, 8]
BATCHES = {
    "data_batch_1": cifar_pickle(TRAIN[:3], {"labels": TRAIN_LABELS[:3]}),
    "data_batch_2": cifar_pickle(TRAIN[3:], {"labels": TRAIN_LABELS[3:]}),
    "test_batch": cifar_pickle(TEST, {"labels": TEST_LABELS}),
}


def small_source(batches: dict[str, bytes] = BATCHES) -> Source:
    """CIFAR-10 with seven images, and their checksums."""
    sums = {name: md5(content) for name, content in batches.items()}
    return replace(
        CIFAR10,
        train_files={name: sums[name] for name in sums if name != "test_batch"},
        test_files={"test_batch": sums["test_batch"]},
        pixels=(pixel_sum(TRAIN, TRAIN_LABELS), pixel_sum(TEST, TEST_LABELS)),
    )


def load(root: Path, source: Source | None = None, **changes: Any) -> tuple[ImageSet, ImageSet]:
    data = make_data(
        name="cifar10", root=str(root), image_size=32, num_classes=10, limit_train="all", limit_test="all", **changes
    )
    splits = load_splits(data, {"cifar10": small_source() if source is None else source})
    assert isinstance(splits.train, ImageSet)
    assert isinstance(splits.test, ImageSet)
    return splits.train, splits.test


def assert_small_cifar(sets: tuple[ImageSet, ImageSet]) -> None:
    train, test = sets
    assert np.array_equal(train.images.numpy(), TRAIN)
    assert train.labels.tolist() == TRAIN_LABELS
    assert np.array_equal(test.images.numpy(), TEST)
    assert test.labels.tolist() == TEST_LABELS


def write(folder: Path, files: dict[str, bytes] = BATCHES) -> None:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "bnn_ablate"


# --- pickles -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", [".", "cifar-10-batches-py"])
def test_pickles_are_read_from_root_or_from_the_folder_of_their_archive(tmp_path: Path, folder: str) -> None:
    write(tmp_path / folder)
    assert_small_cifar(load(tmp_path))


def test_cifar100_has_the_fine_labels(tmp_path: Path) -> None:
    batches = {
        "train": cifar_pickle(TRAIN, {"coarse_labels": [1, 2, 3, 4, 5], "fine_labels": [99, 0, 41, 7, 7]}),
        "test": cifar_pickle(TEST, {"coarse_labels": [1, 2], "fine_labels": [98, 50]}),
    }
    write(tmp_path, batches)
    train_sums, test_sums = ({name: md5(batches[name])} for name in ("train", "test"))
    source = replace(SOURCES["cifar100"], train_files=train_sums, test_files=test_sums)
    data = make_data(name="cifar100", root=str(tmp_path), image_size=32, num_classes=100, limit_train="all")
    splits = load_splits(data, {"cifar100": source})
    assert splits.train.labels.tolist() == [99, 0, 41, 7, 7]
    assert splits.test.labels.tolist() == [98, 50]


def test_a_pickle_with_another_checksum_is_named_with_both_sums(tmp_path: Path) -> None:
    damaged = bytearray(BATCHES["data_batch_2"])
    damaged[-100] ^= 1
    write(tmp_path, {**BATCHES, "data_batch_2": bytes(damaged)})
    with pytest.raises(DataError) as caught:
        load(tmp_path)
    for part in (str(tmp_path / "data_batch_2"), md5(bytes(damaged)), md5(BATCHES["data_batch_2"])):
        assert part in str(caught.value)


def test_pixels_are_verified_however_they_were_packed(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(DataError, match=f"SHA-256 {pixel_sum(TEST, TEST_LABELS)}, expected 0000"):
        load(tmp_path, replace(small_source(), pixels=(pixel_sum(TRAIN, TRAIN_LABELS), "0000")))


class Foreign:
    """Pickles as a call of ``function``."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


@pytest.mark.parametrize(
    ("function", "name"),
    [(os.system, f"{os.name}.system"), (eval, "builtins.eval"), (np.load, "numpy.load"), (getattr, "builtins.getattr")],
)
def test_a_pickle_that_names_anything_foreign_is_refused_and_not_run(
    tmp_path: Path, function: Callable[..., Any], name: str
) -> None:
    trace = tmp_path / "trace"
    content = pickle.dumps({"data": Foreign(function, f"open({str(trace)!r}, 'w') #> {trace}")}, protocol=2)
    name = name.replace("builtins", "__builtin__")
    with pytest.raises(DataError, match=rf"bad is refused: it names {name}, ") as caught:
        read_pickle(content, Path("bad"), "labels", 10)
    assert "was not run" in str(caught.value)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BATCHES["test_batch"][:-5000], "is no CIFAR pickle"),
        (b"GIF89a", "is no CIFAR pickle"),
        (b"", "is no CIFAR pickle"),
        (pickle.dumps([1, 2], protocol=2), "lacks data or labels"),
        (pickle.dumps({"data": [1], "labels": [1]}, protocol=2), "lacks data or labels"),
        (cifar_pickle(TEST, {"fine_labels": [1, 2]}), "lacks data or labels"),
        (cifar_pickle(TEST, {"labels": [1, 2, 3]}), "3 labels and data of shape"),
        (cifar_pickle(TEST, {"labels": [1, 10]}), "no number from 0 to 9"),
        (BATCHES["test_batch"].replace(b"U\x02u1", b"U\x02f8"), "type b'f8', not uint8"),
        (BATCHES["test_batch"].replace(b"U\x02u1", b"U\x01O"), "type b'O', not uint8"),
    ],
)
def test_a_pickle_of_something_else_is_one_sentence(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_pickle(content, Path("bad"), "labels", 10)
    assert str(caught.value).startswith("bad ")


# --- archive -----------------------------------------------------------------------------------------------------


def archive(path: Path, members: dict[str, bytes]) -> Source:
    """Write an archive with ``members`` and return a source that expects it."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("cifar-10-batches-py/data_batch_2")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    remote = RemoteFile(name=path.name, md5=md5(path.read_bytes()))
    return replace(small_source(), remote=(remote,))


ARCHIVED = {f"cifar-10-batches-py/{name}": content for name, content in BATCHES.items()}


def test_an_archive_in_root_is_extracted_beside_it(tmp_path: Path) -> None:
    source = archive(tmp_path / "cifar-10-python.tar.gz", ARCHIVED)
    assert_small_cifar(load(tmp_path, source))
    (tmp_path / "cifar-10-python.tar.gz").unlink()
    assert_small_cifar(load(tmp_path, source))


def test_nothing_of_an_archive_is_written_but_the_known_files(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    strange = {"../evil": b"x", "/evil": b"x", "cifar-10-batches-py/../../evil": b"x", "cifar-10-batches-py/sh": b"x"}
    load(root, archive(root / "cifar-10-python.tar.gz", {**strange, **ARCHIVED}))
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    visible = {path for path in written if not path.endswith(".lock")}
    assert visible == {"root/cifar-10-python.tar.gz"} | {f"root/{name}" for name in ARCHIVED}


def test_an_archive_with_another_checksum_is_not_extracted(tmp_path: Path) -> None:
    source = archive(tmp_path / "cifar-10-python.tar.gz", ARCHIVED)
    with (tmp_path / "cifar-10-python.tar.gz").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(DataError, match=r"cifar-10-python\.tar\.gz has md5 .* delete it"):
        load(tmp_path, source)
    assert not list(tmp_path.glob("cifar-10-batches-py/*"))


def test_an_archive_without_a_file_says_which(tmp_path: Path) -> None:
    members = {name: content for name, content in ARCHIVED.items() if "test" not in name}
    with pytest.raises(DataError, match="lacks test_batch"):
        load(tmp_path, archive(tmp_path / "cifar-10-python.tar.gz", members))


# --- parquet -----------------------------------------------------------------------------------------------------


def shard(path: Path, images: np.ndarray, labels: list[int]) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    encoded = []
    for row, image in enumerate(images):
        stream = io.BytesIO()
        Image.fromarray(image.transpose(1, 2, 0)).save(stream, "PNG")
        encoded.append({"bytes": stream.getvalue(), "path": f"{row}.png"})
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    parquet.write_table(pa.table({"img": pa.array(encoded, kind), "label": labels}), path)


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    root = tmp_path / "shards"
    root.mkdir()
    shard(root / "train-00000-of-00002.parquet", TRAIN[:2], TRAIN_LABELS[:2])
    shard(root / "train-00001-of-00002.parquet", TRAIN[2:], TRAIN_LABELS[2:])
    shard(root / "test-00000-of-00001.parquet", TEST, TEST_LABELS)
    return root


def test_shards_of_encoded_images_are_the_same_data_as_pickles(shards: Path) -> None:
    assert_small_cifar(load(shards))


def test_pickles_come_before_shards(shards: Path) -> None:
    write(shards)
    (shards / "test-00000-of-00001.parquet").write_bytes(b"never opened")
    assert_small_cifar(load(shards))


def test_decoded_shards_are_kept_in_the_users_cache_and_nothing_in_root(shards: Path, own_cache: Path) -> None:
    before = sorted(shards.iterdir())
    load(shards)
    assert sorted(shards.iterdir()) == before
    assert {p.name for p in own_cache.iterdir()} == {pixel_sum(TRAIN, TRAIN_LABELS), pixel_sum(TEST, TEST_LABELS)}
    for path in before:
        path.write_bytes(b"no longer needed")
    assert_small_cifar(load(shards))


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: b"\0" + content[1:], lambda _: b""])
def test_a_damaged_cache_is_not_used_and_mended(
    shards: Path, own_cache: Path, damage: Callable[[bytes], bytes]
) -> None:
    load(shards)
    whole = {path: path.read_bytes() for path in own_cache.iterdir()}
    for path, content in whole.items():
        path.write_bytes(damage(content))
    assert_small_cifar(load(shards))
    assert {path: path.read_bytes() for path in own_cache.iterdir()} == whole


def test_a_cache_that_cannot_be_written_does_not_matter(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert_small_cifar(load(shards))


def test_a_missing_shard_is_named(shards: Path) -> None:
    (shards / "train-00001-of-00002.parquet").unlink()
    with pytest.raises(DataError, match=r"train-00001-of-00002\.parquet is missing"):
        load(shards)


def test_shards_of_other_images_are_refused(shards: Path) -> None:
    shard(shards / "test-00000-of-00001.parquet", TEST[::-1], TEST_LABELS)
    with pytest.raises(DataError, match=r"test-00000-of-00001\.parquet have? SHA-256 .* expected"):
        load(shards)


def test_shards_that_nothing_can_verify_are_not_taken(shards: Path) -> None:
    data = make_data(name="cifar100", root=str(shards), image_size=32, num_classes=100)
    with pytest.raises(DataError, match=r"train, test not found \(nor, instead of them, cifar-100-python\.tar\.gz\);"):
        load_splits(data)


def test_without_pyarrow_the_error_says_what_to_install(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"pip install 'bnn_ablate\[parquet\]'"):
        load(shards)


# --- idx ---------------------------------------------------------------------------------------------------------


def fashion(tmp_path: Path, images: bytes, labels: bytes) -> Source:
    files = {name: gzip.compress(images if "images" in name else labels) for name in SOURCES["fashion_mnist"].files}
    write(tmp_path, files)
    sums = {name: md5(content) for name, content in files.items()}
    split = [{name: sums[name] for name in sums if name.startswith(part)} for part in ("train", "t10k")]
    return replace(SOURCES["fashion_mnist"], train_files=split[0], test_files=split[1], pixels=None)


GREY = np.random.default_rng(3).integers(0, 256, (4, 28, 28), np.uint8)
IDX_IMAGES = struct.pack(">4B3I", 0, 0, 8, 3, 4, 28, 28) + GREY.tobytes()
IDX_LABELS = struct.pack(">4BI", 0, 0, 8, 1, 4) + bytes([9, 0, 5, 5])
FASHION = make_data(name="fashion_mnist", image_size=28, num_classes=10, mean=(0.5,), std=(0.5,))


def test_idx_files_are_read_as_written(tmp_path: Path) -> None:
    source = fashion(tmp_path, IDX_IMAGES, IDX_LABELS)
    splits = load_splits(replace(FASHION, root=str(tmp_path)), {"fashion_mnist": source})
    assert isinstance(splits.test, ImageSet)
    assert np.array_equal(splits.test.images.numpy(), GREY[:, None])
    assert splits.test.labels.tolist() == [9, 0, 5, 5]


@pytest.mark.parametrize("images", [b"", IDX_IMAGES[:-1], b"\0\0\x09" + IDX_IMAGES[3:]])
def test_an_idx_file_of_something_else_is_named(tmp_path: Path, images: bytes) -> None:
    source = fashion(tmp_path, images, IDX_LABELS)
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz is no gzipped idx file"):
        load_splits(replace(FASHION, root=str(tmp_path)), {"fashion_mnist": source})


# --- nothing there -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "missing"), [("cifar10", "test_batch"), ("fashion_mnist", "t10k-labels-idx1")])
def test_missing_files_are_named_with_the_place_and_the_remedy(tmp_path: Path, name: str, missing: str) -> None:
    data = make_data(name=name, root=str(tmp_path / "nowhere"))
    with pytest.raises(DataError) as caught:
        load_splits(data)
    for part in (missing, str(tmp_path / "nowhere"), "data.download=true"):
        assert part in str(caught.value)
    assert not (tmp_path / "nowhere").exists()


def test_root_must_be_given(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"needs data\.root"):
        load_splits(make_data(name="cifar10", root=None))


# --- the published images ----------------------------------------------------------------------------------------


@needs_real_data
def test_the_published_fashion_mnist_is_read() -> None:
    data = replace(FASHION, root=f"{REAL}/fashion-mnist", limit_train="all", limit_test="all")
    splits = load_splits(data)
    assert (len(splits.train), len(splits.test)) == (60_000, 10_000)
    assert splits.train.labels.bincount().tolist() == [6_000] * 10


@needs_real_data
def test_the_published_test_images_of_cifar10_have_the_published_sum() -> None:
    pytest.importorskip("pyarrow")
    pixels = read_shard(Path(f"{REAL}/cifar10/test-00000-of-00001.parquet"), "label")
    expected = "9a4c74f5c8b6f2c4e13d3a1dfb43a5a8cda8a9da515e99fd620d2013a1a6287a"
    assert pixel_sum(pixels.images, pixels.labels.tolist()) == expected


@needs_real_data
def test_pickles_made_of_the_published_pixels_are_read_back() -> None:
    pytest.importorskip("pyarrow")
    pixels = read_shard(Path(f"{REAL}/cifar10/test-00000-of-00001.parquet"), "label")
    content = cifar_pickle(pixels.images, {"labels": pixels.labels.tolist()})
    again = read_pickle(content, Path("test_batch"), "labels", 10)
    assert np.array_equal(again.images, pixels.images)
    assert np.array_equal(again.labels, pixels.labels)
