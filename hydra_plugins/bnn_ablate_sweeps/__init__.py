"""Sweepers, launchers and the place of sweeps/, which Hydra takes from packages under hydra_plugins only."""
