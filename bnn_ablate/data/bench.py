"""Images a second that one core augments and normalises: ``python -m bnn_ablate.data.bench``."""

from __future__ import annotations

import time
from itertools import chain, repeat

import torch

from bnn_ablate.data.augment import Augmentation, Crop, Normalise, Unchanged
from bnn_ablate.data.images import ImageSet
from bnn_ablate.data.level3 import Level3
from bnn_ablate.data.memory_batches import MemoryBatches
from bnn_ablate.data.order import Training
from bnn_ablate.recipe import Level3Augment

IMAGES, BATCH, SECONDS = 12_800, 128, 2.0
LEVEL3 = Level3Augment(name="level3", hue=36, saturation=50, lightness=50, rotate=10, shear=0.1, aspect=0.25)


def main() -> None:
    torch.set_num_threads(1)
    device = torch.device("cpu")
    pixels = torch.randint(0, 256, (IMAGES, 3, 32, 32), dtype=torch.uint8)
    images = ImageSet(pixels, torch.zeros(IMAGES, dtype=torch.int64))
    normalise = Normalise(images.shape, (0.5,) * 3, (0.25,) * 3, device)
    print(f"images a second, one thread, 32x32x3, batch {BATCH}, normalised float32 in channels_last")
    augmentations: dict[str, Augmentation] = {
        "none": Unchanged(),
        "shift": Crop(1, False),
        "crop_flip": Crop(4, True),
        "level3": Level3(LEVEL3),
    }
    for name, augment in augmentations.items():
        batches = MemoryBatches(images, Training(IMAGES, BATCH, 0, 0, 1), augment, normalise, 0, device)
        next(iter(batches))  # the first call pays for what torch sets up
        done, start = 0, time.perf_counter()
        for _ in chain.from_iterable(repeat(batches)):
            done += BATCH
            if time.perf_counter() - start > SECONDS:
                break
        print(f"{name:10} {done / (time.perf_counter() - start):10,.0f}")


if __name__ == "__main__":
    main()
