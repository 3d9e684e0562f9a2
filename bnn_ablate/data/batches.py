"""The loaders of a run: training and evaluation batches of images in memory or in folders."""

from __future__ import annotations

import torch

from bnn_ablate.data.augment import Normalise, Unchanged, augmentation
from bnn_ablate.data.decode import folder_augment
from bnn_ablate.data.folder_batches import FolderBatches
from bnn_ablate.data.images import FolderSet, Images
from bnn_ablate.data.loader import Batches
from bnn_ablate.data.memory_batches import MemoryBatches
from bnn_ablate.data.order import Evaluation, Order, Training
from bnn_ablate.recipe import Recipe
from bnn_ablate.settings import Data


def train_batches(
    images: Images,
    data: Data,
    recipe: Recipe,
    seed: int,
    *,
    rank: int,
    world_size: int,
    device: torch.device | str,
    workers: int,
) -> Batches:
    """Shuffled and augmented batches of rank ``rank``; the incomplete last batch of an epoch is dropped.

    The order depends on (``seed``, epoch), the augmentation on (``seed``, epoch, batch), so together ``world_size``
    ranks see exactly what one would. ``workers`` processes decode the images of a folder. Raises DataError where
    recipe.batch_size is no multiple of ``world_size`` or more than there are images.
    """
    order = Training(len(images), recipe.batch_size, seed, rank, world_size)
    device = torch.device(device)
    if isinstance(images, FolderSet):
        return _folder_batches(images, order, data, recipe, seed, device, workers)
    normalise = _normalise(images.shape, data, recipe, device)
    return MemoryBatches(images, order, augmentation(recipe.augment), normalise, seed, device)


def eval_batches(
    images: Images,
    data: Data,
    recipe: Recipe,
    batch_size: int,
    *,
    rank: int,
    world_size: int,
    device: torch.device | str,
    workers: int,
) -> Batches:
    """Batches in file order without augmentation: every image exactly once over all ranks, the last batch kept.

    ``batch_size`` counts the images of one rank. Ranks take contiguous shares whose sizes may differ by one, so their
    numbers of batches may differ too; ``indices`` says which images a rank has.
    """
    order = Evaluation(len(images), batch_size, rank, world_size)
    device = torch.device(device)
    if isinstance(images, FolderSet):
        return _folder_batches(images, order, data, recipe, None, device, workers)
    normalise = _normalise(images.shape, data, recipe, device)
    return MemoryBatches(images, order, Unchanged(), normalise, 0, device)


def _folder_batches(
    images: FolderSet,
    order: Order,
    data: Data,
    recipe: Recipe,
    seed: int | None,
    device: torch.device,
    workers: int,
) -> FolderBatches:
    augment = folder_augment(recipe.augment, data.image_size)
    normalise = _normalise((data.image_size, data.image_size, 3), data, recipe, device)
    return FolderBatches(images, order, data.image_size, augment, normalise, seed, device, workers)


def _normalise(shape: tuple[int, int, int], data: Data, recipe: Recipe, device: torch.device) -> Normalise:
    """For images of ``shape`` (H, W, C): to 0..1 only, where recipe.normalize is false."""
    channels = shape[2]
    mean, std = (data.mean, data.std) if recipe.normalize else ((0.0,) * channels, (1.0,) * channels)
    return Normalise(shape, mean, std, device)
