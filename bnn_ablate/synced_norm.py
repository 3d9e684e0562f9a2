"""BatchNorm over the images of all processes, on any device; torch's own works on GPUs only."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """A BatchNorm2d whose training statistics are those of the images of all processes: x (N, C, H, W).

    Every process must hold equally many images, as training batches do. Parameters and state are BatchNorm2d's, so
    checkpoints are the same with one process or many. In eval mode, or alone, it is BatchNorm2d.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and dist.is_initialized() and dist.get_world_size() > 1):
            return super().forward(x)
        if self.running_mean is None or self.running_var is None or self.momentum is None:
            raise ValueError("SyncedBatchNorm2d needs running statistics and a momentum, as every norm here has")
        world = dist.get_world_size()
        count = x.numel() // x.shape[1] * world
        # In float32, also where autocast hands over bfloat16, whose sums would keep two digits.
        wide = x.float()
        # Two sums one after the other: deviations from the common mean keep the digits that E[x^2] - E[x]^2 loses.
        mean = sum_over_processes(wide.mean((0, 2, 3))) / world
        centred = wide - mean.view(-1, 1, 1)
        variance = sum_over_processes(centred.square().mean((0, 2, 3))) / world
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            unbiased = variance * (count / (count - 1))
            self.running_var.lerp_(unbiased, self.momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale.view(-1, 1, 1) + self.bias.view(-1, 1, 1)).to(x.dtype)


def sum_over_processes(value: Tensor) -> Tensor:
    """The sum of a tensor over all processes, of the same shape; differentiable."""
    return _SumOverProcesses.apply(value)  # type: ignore[no-untyped-call]


class _SumOverProcesses(torch.autograd.Function):
    """The gradient is summed likewise, since each process used the sum."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total


def synchronise_norms(network: nn.Module) -> nn.Module:
    """Turn every BatchNorm2d of ``network`` into a SyncedBatchNorm2d, in place; parameters stay the same objects."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SyncedBatchNorm2d
    return network
