"""Launchers that give the runs of a sweep to the machines of a cluster."""
