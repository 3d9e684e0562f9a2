"""Thousands of random graphs against the reference: the longer sister of tests/test_packed_kernels_any.py."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from test_packed_kernels_any import ANYTHING, check_anything

from bnn_ablate.packed.graph import Graph


@settings(max_examples=3000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@ANYTHING
def test_thousands_of_graphs_give_the_references_bits(graph: Graph, seed: int, count: int, threads: int, chunk: int):
    check_anything(graph, seed, count, threads, chunk)
