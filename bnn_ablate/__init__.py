"""Ablation studies of binary neural networks."""
