"""The checksum of a run's images: their content and nothing else."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from data_factories import make_data

from bnn_ablate.data import DataError
from bnn_ablate.data.identity import data_checksum


def test_naming_the_images_needs_neither_torch_nor_scikit_learn() -> None:
    code = (
        "import sys; from bnn_ablate.data.identity import data_checksum; "
        "print([m for m in ('torch', 'sklearn', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("name", "sums"),
    [
        (
            "cifar10",
            [
                "1e91790dbaf241617ca1f29a9aba08eb9a62df84cc90676b47edd05ad2ab3c94",
                "9a4c74f5c8b6f2c4e13d3a1dfb43a5a8cda8a9da515e99fd620d2013a1a6287a",
            ],
        ),
        (
            "fashion_mnist",
            [
                "16d82e2b505296aa2b78bd5ea0992634f30419a4c97def7c907d154a35ac6157",
                "9f1ec356a747bfe4ebab3cfb722d3694c9ca737e2570f6f90cf31d7b6fd689d4",
            ],
        ),
        ("cifar100", ["16019d7e3df5f24257cddd939b257f8d", "f0ef6b0ae62326f3e7ffdfab6717acfc"]),
    ],
)
def test_a_published_set_is_named_by_its_published_sums(name: str, sums: list[str]) -> None:
    assert data_checksum(make_data(name=name)) == hashlib.sha256("\n".join(sums).encode()).hexdigest()


@pytest.mark.parametrize("name", ["digits", "synthetic", "cifar10", "cifar100", "fashion_mnist"])
def test_the_place_of_the_files_does_not_matter(name: str) -> None:
    here, there = make_data(name=name), make_data(name=name, root="/elsewhere", download=True)
    assert data_checksum(here) == data_checksum(there)


def put(root: Path, name: str, content: bytes) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_an_image_folder_is_named_by_paths_and_sizes(tmp_path: Path) -> None:
    put(tmp_path, "train/b/2.png", b"12345")
    put(tmp_path, "train/a/1.JPEG", b"123")
    put(tmp_path, "val/a/3.jpg", b"")
    for ignored in ("train/a/notes.txt", "train/a/._1.jpeg", "train/.hidden/1.png"):
        put(tmp_path, ignored, b"no image")
    expected = hashlib.sha256(b"train/a/1.JPEG\x003\ntrain/b/2.png\x005\nval/a/3.jpg\x000\n").hexdigest()
    assert data_checksum(make_data(name="image_folder", root=str(tmp_path))) == expected


@pytest.mark.parametrize("change", [("train/a/1.png", b"longer"), ("val/a/new.png", b"123")])
def test_another_size_or_file_is_another_image_folder(tmp_path: Path, change: tuple[str, bytes]) -> None:
    data = make_data(name="image_folder", root=str(tmp_path))
    put(tmp_path, "train/a/1.png", b"123")
    put(tmp_path, "val/a/1.png", b"123")
    before = data_checksum(data)
    put(tmp_path, *change)
    assert data_checksum(data) != before


@pytest.mark.parametrize("part", ["train", "val"])
def test_a_missing_image_folder_is_one_sentence(tmp_path: Path, part: str) -> None:
    (tmp_path / ("val" if part == "train" else "train")).mkdir()
    with pytest.raises(DataError, match=f"needs the folder {tmp_path / part}, which does not exist"):
        data_checksum(make_data(name="image_folder", root=str(tmp_path)))
