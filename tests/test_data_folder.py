"""Image folders: what is found, how it is cropped, and that workers and restarts change nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from data_factories import make_data, make_recipe
from PIL import Image
from torch import Tensor

from bnn_ablate.data import Batches, DataError, FolderSet, Splits, eval_batches, load_splits, train_batches
from bnn_ablate.data.decode import random_box
from bnn_ablate.recipe import Augment, RandomCropAugment, ResizedCropAugment
from bnn_ablate.settings import Data

#: The images are 10 pixels on the shorter side, so this resizes nothing and crops can be checked exactly.
CROPPED = RandomCropAugment(name="random_crop", resize=10)
RESIZED = ResizedCropAugment(name="resized_crop", resize=9, min_area=0.25, max_aspect=4 / 3, filter="bilinear")


def pixels(seed: int, width: int, height: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Nine training images and five for testing, of two classes; wide, high and square ones."""
    shapes = [(14, 10), (10, 13), (10, 10)]
    for part, count in (("train", 9), ("val", 5)):
        for number in range(count):
            folder = tmp_path / part / ("cat" if number % 2 == 0 else "dog")
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels(number, *shapes[number % 3])).save(folder / f"{number}.png")
    return tmp_path


def settings(root: Path) -> Data:
    return make_data(
        name="image_folder", root=str(root), image_size=8, num_classes=2, limit_train="all", limit_test="all"
    )


def loader(splits: Splits, root: Path, augment: Augment = CROPPED, *, workers: int = 0, rank: int = 0) -> Batches:
    recipe = make_recipe(augment, batch_size=4, normalize=False)
    ranks = 1 if rank == 0 else 2
    return train_batches(
        splits.train, settings(root), recipe, 3, rank=rank % 2, world_size=ranks, device="cpu", workers=workers
    )


def same(a: list[tuple[Tensor, Tensor]], b: list[tuple[Tensor, Tensor]]) -> bool:
    pairs = zip(a, b, strict=False)
    return len(a) == len(b) and all(torch.equal(x, u) and torch.equal(y, v) for (x, y), (u, v) in pairs)


def to_bytes(image: Tensor) -> np.ndarray:
    """A loader's image (C, H, W) in 0..1 as uint8 (H, W, C)."""
    return (image * 255).round().byte().permute(1, 2, 0).numpy()


def test_classes_are_the_sorted_folders_and_files_are_sorted_within(root: Path) -> None:
    (root / "train" / "cat" / "notes.txt").write_text("no image")
    (root / "train" / "cat" / "._0.png").write_bytes(b"left by a file manager")
    train = load_splits(settings(root)).train
    assert isinstance(train, FolderSet)
    assert train.class_names == ("cat", "dog")
    assert [path.relative_to(root / "train").as_posix() for path in train.paths] == [
        *("cat/0.png", "cat/2.png", "cat/4.png", "cat/6.png", "cat/8.png"),
        *("dog/1.png", "dog/3.png", "dog/5.png", "dog/7.png"),
    ]
    assert train.labels.tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1]


def test_held_out_files_keep_their_labels(root: Path) -> None:
    splits = load_splits(make_data(**{**vars(settings(root)), "holdout": 4}))
    for part in (splits.train, splits.holdout):
        assert isinstance(part, FolderSet)
        assert [path.parent.name for path in part.paths] == [part.class_names[label] for label in part.labels]
    assert (len(splits.train), len(splits.holdout or [])) == (5, 4)


def test_testing_shows_the_centre(root: Path) -> None:
    test = load_splits(settings(root)).test
    assert isinstance(test, FolderSet)
    recipe = make_recipe(CROPPED, normalize=False)
    batches = eval_batches(test, settings(root), recipe, 2, rank=0, world_size=1, device="cpu", workers=0)
    shown = [image for images, _ in batches for image in images]
    assert [len(y) for _, y in batches] == [2, 2, 1]
    for path, image in zip(test.paths, shown, strict=True):
        whole = np.asarray(Image.open(path))
        top, left = (whole.shape[0] - 8) // 2, (whole.shape[1] - 8) // 2
        assert np.array_equal(to_bytes(image), whole[top : top + 8, left : left + 8])


def windows(whole: np.ndarray) -> dict[bytes, tuple[int, int, bool]]:
    found = {}
    for top in range(whole.shape[0] - 7):
        for left in range(whole.shape[1] - 7):
            window = whole[top : top + 8, left : left + 8]
            found[window.tobytes()] = (top, left, False)
            found[window[:, ::-1].tobytes()] = (top, left, True)
    return found


def test_training_shows_random_windows_half_of_them_mirrored(root: Path) -> None:
    splits = load_splits(settings(root))
    assert isinstance(splits.train, FolderSet)
    batches = loader(splits, root)
    assert len(batches) == 2
    places = set()
    for epoch in range(20):
        batches.set_epoch(epoch)
        files = [splits.train.paths[position] for position in batches.indices.tolist()]
        shown = [image for images, _ in batches for image in images]
        for path, image in zip(files, shown, strict=True):
            places.add(windows(np.asarray(Image.open(path)))[to_bytes(image).tobytes()])
    assert {top for top, _, _ in places} == set(range(6))
    assert {left for _, left, _ in places} == set(range(7))
    assert {mirrored for _, _, mirrored in places} == {True, False}


@pytest.mark.parametrize("augment", [CROPPED, RESIZED], ids=lambda augment: augment.name)
def test_workers_restarts_and_ranks_change_nothing(root: Path, augment: Augment) -> None:
    splits = load_splits(settings(root))
    expected = list(loader(splits, root, augment))
    resumed = loader(splits, root, augment)
    resumed.load_state_dict({"epoch": 0, "batches": 1})
    assert same(list(resumed), expected[1:])
    halves = [list(loader(splits, root, augment, rank=rank)) for rank in (2, 1)]
    together = [
        (torch.cat([a, b]), torch.cat([y, z])) for (a, y), (b, z) in zip(*halves, strict=True)
    ]  # fmt: skip
    assert same(together, expected)
    assert same(list(loader(splits, root, augment, workers=2)), expected)


def test_every_place_of_an_epoch_is_cropped_by_numbers_of_its_own(root: Path) -> None:
    path = root / "large.png"
    Image.fromarray(pixels(0, 90, 70)).save(path)
    copies = FolderSet((path,) * 16, torch.zeros(16, dtype=torch.int64), ("cat", "dog"))
    batches = loader(Splits(copies, None, copies), root, RESIZED)
    assert len({image.numpy().tobytes() for images, _ in batches for image in images}) == 16


def test_the_global_generator_is_left_alone(root: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    list(loader(load_splits(settings(root)), root))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("damage", [lambda content: content[: len(content) // 2], lambda _: b"no image", lambda _: b""])
def test_a_damaged_file_is_named(root: Path, damage: object, workers: int) -> None:
    assert callable(damage)
    splits = load_splits(settings(root))
    path = root / "val" / "dog" / "3.png"
    path.write_bytes(damage(path.read_bytes()))
    batches = eval_batches(
        splits.test, settings(root), make_recipe(CROPPED), 4, rank=0, world_size=1, device="cpu", workers=workers
    )
    with pytest.raises(DataError) as caught:
        list(batches)
    assert str(caught.value).startswith(f"{path} cannot be decoded: ")


def test_grey_and_transparent_images_become_rgb(root: Path) -> None:
    Image.new("L", (10, 10), 77).save(root / "val" / "cat" / "0.png")
    Image.new("RGBA", (10, 10), (1, 2, 3, 0)).save(root / "val" / "cat" / "2.png")
    test = load_splits(settings(root)).test
    recipe = make_recipe(CROPPED, normalize=False)
    batches = eval_batches(test, settings(root), recipe, 2, rank=0, world_size=1, device="cpu", workers=0)
    grey, clear = next(iter(batches))[0]
    assert to_bytes(grey)[0, 0].tolist() == [77, 77, 77]
    assert to_bytes(clear)[0, 0].tolist() == [1, 2, 3]


def test_folders_with_different_classes_are_refused(root: Path) -> None:
    (root / "val" / "emu").mkdir()
    with pytest.raises(DataError, match="have different classes: emu is in one only"):
        load_splits(settings(root))


def test_another_number_of_classes_is_refused(root: Path) -> None:
    with pytest.raises(DataError, match=r"data\.num_classes=3 does not fit .*train, which has 2 class folders"):
        load_splits(make_data(**{**vars(settings(root)), "num_classes": 3}))


def test_a_folder_without_images_is_refused(root: Path) -> None:
    for path in (root / "val").rglob("*.png"):
        path.unlink()
    with pytest.raises(DataError, match="val holds no images"):
        load_splits(settings(root))


def test_a_crop_larger_than_the_resized_image_is_refused(root: Path) -> None:
    small = RandomCropAugment(name="random_crop", resize=7)
    with pytest.raises(DataError, match=r"recipe\.augment\.resize=7 is less than data\.image_size=8"):
        loader(load_splits(settings(root)), root, small)


@pytest.mark.parametrize(("width", "height"), [(200, 100), (100, 100), (90, 300)])
def test_boxes_have_the_area_and_aspect_asked_for(width: int, height: int) -> None:
    random = np.random.default_rng(0)
    boxes = np.array([random_box(width, height, 0.08, 4 / 3, random) for _ in range(3000)])
    left, top, right, bottom = boxes.T
    across, down = right - left, bottom - top
    assert (left >= 0).all()
    assert (top >= 0).all()
    assert (right <= width).all()
    assert (bottom <= height).all()
    # Sides are rounded to whole pixels.
    assert (across / down <= 4 / 3 * 1.05).all()
    assert (across / down >= 3 / 4 / 1.05).all()
    area = across * down / (width * height)
    assert area.min() == pytest.approx(0.08, abs=0.01)
    # Log-uniform: as often wider than high as higher than wide, where the image leaves room for both.
    if width == height:
        assert 0.45 < (across > down).mean() < 0.55


def test_where_no_box_fits_the_largest_in_the_middle_is_taken() -> None:
    assert random_box(1000, 10, 1.0, 4 / 3, np.random.default_rng(0)) == (493, 0, 506, 10)
    assert random_box(10, 1000, 1.0, 4 / 3, np.random.default_rng(0)) == (0, 493, 10, 506)
