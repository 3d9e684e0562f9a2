"""Smoke tests: images that show that everything works, and prove nothing about networks."""

from __future__ import annotations

from collections.abc import Mapping

#: Data that are made to be quick, or made up.
SMOKE = ("digits", "synthetic")


def is_cut(leaves: Mapping[str, str]) -> bool:
    """Whether the test set is only a part of itself."""
    return leaves.get("data.limit_test", "all") != "all"


def is_smoke(leaves: Mapping[str, str]) -> bool:
    """Whether the images of a configuration are quick, made up or cut."""
    return leaves.get("data") in SMOKE or is_cut(leaves)
