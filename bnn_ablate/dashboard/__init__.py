"""A workspace and a report of W&B for one sweep, made by code: `python -m bnn_ablate.dashboard sweep=NAME`."""
