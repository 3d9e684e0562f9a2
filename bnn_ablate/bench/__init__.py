"""What networks cost on this machine: inference against other engines, and a training step against a float network's."""
