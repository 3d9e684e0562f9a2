"""Thousands of random graphs against the reference: the longer sister of tests/test_packed_kernels_any.py."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from test_packed_kernels_any import test_any_graph_gives_the_references_bits as any_graph

LONGER = settings(max_examples=3000, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def test_thousands_of_graphs_give_the_references_bits():
    LONGER(any_graph)()
