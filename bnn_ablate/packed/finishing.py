"""What happens to values before a step reads them and after it has made them, as fields of its row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bnn_ablate.packed.fuse import Fused, Layout, Signs
from bnn_ablate.packed.graph import Affine
from bnn_ablate.packed.memory import LANES, groups_of, slots_of
from bnn_ablate.packed.places import Places
from bnn_ablate.packed.program import FUNCTIONS
from bnn_ablate.packed.tables import in_slots
from bnn_ablate.packed.weights import thresholds_of


class Finishing(Places):
    """The fields that all kinds of steps share."""

    def _before(self, row: int, step: Fused, layout: Layout, *, padded: bool = True) -> None:
        if step.before is not None:
            scale, shift = step.before.scale, step.before.shift
            if padded:
                scale, shift = in_slots(scale, layout), in_slots(shift, layout)
            self.rows[row]["pre_scale"], self.rows[row]["pre_shift"] = self.blob.add(scale), self.blob.add(shift)
        if step.before_function is not None:
            self.rows[row]["pre_function"] = FUNCTIONS[step.before_function.function]

    def _allocated_result(self, step: Fused) -> None:
        if step.value in self.floats:
            self._allocated(step.value, step)

    def _finish(
        self,
        row: int,
        step: Fused,
        layout: Layout,
        *,
        alpha: NDArray[np.float32] | None = None,
        affine: Affine | tuple[NDArray[np.float32], NDArray[np.float32]] | None = None,
        part: tuple[int, int] | None = None,
    ) -> None:
        """Everything behind the anchor; ``part`` are the channels [first, last) of the step that the row computes."""
        first, last = (0, sum(layout)) if part is None else part
        group, here = first // LANES, layout if part is None else (last - first,)
        fields = self.rows[row]
        if alpha is not None:
            fields["alpha"] = self.blob.add(in_slots(alpha[first:last], here))
        if step.times is not None:
            self._read(row, "map_at", "t_map", step.times)
        if affine is not None:
            scale, shift = (affine.scale, affine.shift) if isinstance(affine, Affine) else affine
            fields["scale"] = self.blob.add(in_slots(scale[first:last], here))
            fields["shift"] = self.blob.add(in_slots(shift[first:last], here))
        if step.function is not None:
            fields["function"] = FUNCTIONS[step.function.function]
        if step.function2 is not None:
            fields["function2"] = FUNCTIONS[step.function2.function]
        if step.plus is not None:
            self._read(row, "add_at", "t_add", step.plus, first_group=group)
        if step.value in self.floats:
            self._read(row, "dst_at", "t_dst", step.value, first_group=group)
        packs = []
        for signs, at in self.readers.get(step.value, ()):
            bits = self.bits[signs.conv.name]
            bits.last = max(bits.last, row)
            thresholds, flips = self._thresholds(signs, at, step.value, first, last, here)
            packs.append((thresholds, flips, bits, self.blob.add(bits.pixels(self.chunk)), at + group))
        if packs:
            self.pending_packs.append((row, packs))

    def _thresholds(self, signs: Signs, at: int, value: str, first: int, last: int, here: Layout) -> tuple[int, int]:
        """Offsets of the thresholds and flips of channels [first, last) of a part of what a BinaryConv reads."""
        channels = sum(here)
        if signs.affine is None:
            thresholds, flips = np.zeros(channels, np.float32), np.zeros(channels, bool)
        else:
            before = 0
            for leaf in self.fusion.leaves(signs.value):
                if leaf == value:
                    break
                before += self.shapes[leaf][0]
            taken = slice(before + first, before + last)
            thresholds, flips = thresholds_of(signs.affine.scale[taken], signs.affine.shift[taken])
        # nothing reaches a threshold of NaN: flipped, the bits of places without a channel are 0 whatever lies there
        padded = in_slots(thresholds, here, fill=np.nan)
        bits = np.ones((groups_of(here), LANES), bool)
        bits.reshape(-1)[slots_of(here)] = flips
        words = np.packbits(bits, axis=1, bitorder="little").view("<u2")
        return self.blob.add(padded), self.blob.add(words)
