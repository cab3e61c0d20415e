"""How are weights moved? Muon for matrices and convolutions, AdamW for the rest, and a running mean of them all."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn


def _orthogonal(matrix: Tensor) -> Tensor:
    """Nearest orthogonal matrix, roughly: five Newton-Schulz steps (Jordan et al., "Muon", 2024).

    The steps correct their own rounding, so bfloat16 serves; processors with its instructions take a quarter the time.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.mT if tall else matrix
    x = (x / (x.norm() + 1e-7)).bfloat16()
    for _ in range(5):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """Momentum whose step is made orthogonal. A convolution counts as a matrix of out x (in * height * width)."""

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.95) -> None:
        super().__init__(list(params), {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002
        """One update, scaled to the size an AdamW step would have (Liu et al., "Muon is scalable", 2025)."""
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None:
                    continue
                state = self.state[param]
                if not state:
                    state["momentum"] = torch.zeros_like(param)
                state["momentum"].lerp_(param.grad, 1 - group["momentum"])
                ahead = param.grad.lerp(state["momentum"], group["momentum"]).flatten(1)
                scale = 0.2 * max(ahead.shape) ** 0.5
                param.add_(_orthogonal(ahead).view_as(param), alpha=-group["lr"] * scale)


class Mover:
    """Muon and AdamW over one or more modules, with one factor on both learning rates and a common clip."""

    def __init__(self, modules: Iterable[nn.Module], muon: float, adam: float, clip: float = 1.0) -> None:
        named = [(name, p) for module in modules for name, p in module.named_parameters() if p.requires_grad]
        matrices = [p for name, p in named if p.ndim >= 2 and "embedding" not in name]
        rest = [p for name, p in named if not (p.ndim >= 2 and "embedding" not in name)]
        self.parameters = matrices + rest
        self.optimisers: list[tuple[torch.optim.Optimizer, float]] = [
            (Muon(matrices, lr=muon), muon),
            (torch.optim.AdamW(rest, lr=adam, betas=(0.9, 0.98), weight_decay=0.0), adam),
        ]
        self.clip = clip

    def step(self, rate: float) -> None:
        """Update at `rate` times the learning rates, after a backward pass; leaves no gradients behind."""
        nn.utils.clip_grad_norm_(self.parameters, self.clip)
        for optimiser, base in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = base * rate
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)


class RunningMean:
    """Exponential moving average of a module's weights; `module` is the copy that holds it."""

    def __init__(self, source: nn.Module, decay: float) -> None:
        self.source = source
        self.decay = decay
        self.module = copy.deepcopy(source).eval().requires_grad_(False)
        self._pairs = list(zip(self.module.parameters(), source.parameters(), strict=True))
        self._count = 0

    @torch.no_grad()
    def update(self) -> None:
        """Takes the source's weights in; the first hundreds of steps forget faster."""
        self._count += 1
        decay = min(self.decay, self._count / (self._count + 10))
        for mean, value in self._pairs:
            mean.lerp_(value, 1 - decay)
