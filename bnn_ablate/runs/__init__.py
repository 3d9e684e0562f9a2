"""``python -m bnn_ablate.runs``: what lies in a folder of runs, and what can be done with it. No torch but to retry."""
