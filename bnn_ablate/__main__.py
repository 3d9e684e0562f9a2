"""``python -m bnn_ablate [-m] group=option ...``: one run, or the grid.

Nothing heavy is imported here: help and a wrong option must not wait for it, nor a finished run's answer for torch.
"""

from __future__ import annotations

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

#: The design space lies beside the package in the checkout; absolute, so that any folder will do to start from.
CONF = Path(__file__).parent.parent / "conf"


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def compose(config: DictConfig) -> None:
    """What Hydra calls with each composed configuration."""
    from bnn_ablate.job import perform

    perform(config)


def main() -> None:
    """Run the command line. Exit code 0: all done; 1: a run failed or a setting was wrong; 130: interrupted."""
    try:
        compose()
    except KeyboardInterrupt:
        print("stopped; repeat the same command to continue where it stopped", flush=True)
        sys.exit(130)
    finish()


def finish() -> None:
    """Print the sweep's table and leave with the exit code."""
    from bnn_ablate.job import session, table_of_study

    table = table_of_study()
    if table is not None:
        print(f"\n{table}", flush=True)
    sys.exit(1 if session.failures else 0)


if __name__ == "__main__":
    main()
