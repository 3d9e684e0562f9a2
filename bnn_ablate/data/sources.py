"""The published image sets: which files, from where, and the checksums they must have.

Checksums of files are those their authors publish; pixel sums are ours, over the uint8 pixels in file order
(N x C x H x W, planes) followed by the labels as uint8, so that every packing of the same images has the same sum.
No torch here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file to download: its ``name`` under the source's ``base_url``, and its published md5 sum."""

    name: str
    md5: str


@dataclass(frozen=True, kw_only=True)
class Source:
    """One published image set.

    ``files`` lists the original files that hold training and test images, name to md5; ``remote`` what is downloaded
    (the files themselves, or an archive whose folder ``folder`` holds them). ``pixels`` are the SHA-256 pixel sums of
    (train, test) where they are known. ``label_key`` names the labels in
    pickles, ``label_column`` in parquet shards; None where the set does not come that way.
    """

    classes: int
    base_url: str
    remote: tuple[RemoteFile, ...]
    folder: str
    train_files: Mapping[str, str]
    test_files: Mapping[str, str]
    pixels: tuple[str, str] | None
    label_key: str | None
    label_column: str | None

    @property
    def files(self) -> Mapping[str, str]:
        """All original files: name to md5."""
        return {**self.train_files, **self.test_files}


CIFAR10 = Source(
    classes=10,
    base_url="https://www.cs.toronto.edu/~kriz/",
    remote=(RemoteFile(name="cifar-10-python.tar.gz", md5="c58f30108f718f92721af3b95e74349a"),),
    folder="cifar-10-batches-py",
    train_files={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    },
    test_files={"test_batch": "40351d587109b95175f43aff81a1287e"},
    pixels=(
        "1e91790dbaf241617ca1f29a9aba08eb9a62df84cc90676b47edd05ad2ab3c94",
        "9a4c74f5c8b6f2c4e13d3a1dfb43a5a8cda8a9da515e99fd620d2013a1a6287a",
    ),
    label_key="labels",
    label_column="label",
)

CIFAR100 = Source(
    classes=100,
    base_url="https://www.cs.toronto.edu/~kriz/",
    remote=(RemoteFile(name="cifar-100-python.tar.gz", md5="eb9058c3a382ffc7106e4002c42a8d85"),),
    folder="cifar-100-python",
    train_files={"train": "16019d7e3df5f24257cddd939b257f8d"},
    test_files={"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
    pixels=None,
    label_key="fine_labels",
    label_column="fine_label",
)

FASHION_MNIST = Source(
    classes=10,
    base_url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    remote=(
        RemoteFile(name="train-images-idx3-ubyte.gz", md5="8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        RemoteFile(name="train-labels-idx1-ubyte.gz", md5="25c81989df183df01b3e8a0aad5dffbe"),
        RemoteFile(name="t10k-images-idx3-ubyte.gz", md5="bef4ecab320f06d8554ea6380940ec79"),
        RemoteFile(name="t10k-labels-idx1-ubyte.gz", md5="bb300cfdad3c16e7a12a480ee83cd310"),
    ),
    folder=".",
    train_files={
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    },
    test_files={
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    },
    pixels=(
        "16d82e2b505296aa2b78bd5ea0992634f30419a4c97def7c907d154a35ac6157",
        "9f1ec356a747bfe4ebab3cfb722d3694c9ca737e2570f6f90cf31d7b6fd689d4",
    ),
    label_key=None,
    label_column=None,
)

SOURCES: Mapping[str, Source] = {"cifar10": CIFAR10, "cifar100": CIFAR100, "fashion_mnist": FASHION_MNIST}

#: Pixel sum of scikit-learn's 1,797 digits: uint8 0..16, 8x8, in file order, then the labels.
DIGITS_PIXELS = "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"

#: Raised by hand whenever bnn_ablate/data/synthetic.py makes other images.
SYNTHETIC_VERSION = "synthetic-1"
