"""What networks cost on this machine: inference against other engines, a training step against a float network's."""
