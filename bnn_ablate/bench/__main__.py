"""``python -m bnn_ablate.bench [inference|training] ...``: how fast this is here, measured against others."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bnn_ablate.bench import inference
from bnn_ablate.bench.training import command as training


def main(arguments: Sequence[str]) -> int:
    """``inference`` is what is meant where no mode is named. Exit code 0, or 1 with one sentence."""
    mode = arguments[0] if arguments else "inference"
    if mode in training.MODES:
        return training.main(arguments)
    return inference.main(arguments[1:] if mode == "inference" else arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
