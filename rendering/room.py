"""What to do when a device's memory runs out in the middle of a step: nothing of the failed attempt stays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn

Result = TypeVar("Result")


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Let a module's weights take no gradients while the block runs, however the block ends."""
    learning = [weight for weight in module.parameters() if weight.requires_grad]
    module.requires_grad_(False)
    try:
        yield
    finally:
        for weight in learning:
            weight.requires_grad_(True)


class Kept:
    """The state of a generator of random numbers and of modules' buffers, to go back to.

    Weights are not among it: they change in the last part of a step only, which takes no memory
    (:func:`allocate`).
    """

    def __init__(self, rng: torch.Generator, modules: Iterable[nn.Module]) -> None:
        self._rng, self._state = rng, rng.get_state()
        self._buffers = [(buffer, buffer.clone()) for module in modules for buffer in module.buffers()]

    @torch.no_grad()
    def put_back(self) -> None:
        self._rng.set_state(self._state)
        for buffer, before in self._buffers:
            buffer.copy_(before)


def allocate(optimizer: torch.optim.Adam) -> None:
    """Give every weight that has none its moments, so that no step will have to find room for them half-way.

    The weights and a state that was restored stay as they are.
    """
    for group in optimizer.param_groups:
        for weight in group["params"]:
            if not optimizer.state[weight]:
                on = weight.device if group["fused"] else "cpu"
                optimizer.state[weight] = {
                    "step": torch.zeros((), dtype=torch.float32, device=on),
                    "exp_avg": torch.zeros_like(weight, memory_format=torch.preserve_format),
                    "exp_avg_sq": torch.zeros_like(weight, memory_format=torch.preserve_format),
                }


def once_more(work: Callable[[], Result], device: torch.device) -> Result:
    """Do what either happens as a whole or not at all; when memory runs out, once more with what can be freed."""
    try:
        return work()
    except torch.OutOfMemoryError:
        pass  # not in here: the exception holds on to the failed attempt's tensors
    free(device)
    return work()


def in_parts(
    work: Callable[[Tensor], tuple[Tensor, ...]], count: int, at_once: int, device: torch.device
) -> tuple[tuple[Tensor, ...], int]:
    """Do ``work`` on the indices 0 to ``count``, ``at_once`` at a time, and half as many each time memory runs out.

    Returns what it gives, put together along the first axis, and how many at a time there was room for.

    Raises:
        torch.OutOfMemoryError: there is no room for one.
    """
    at_once = min(at_once, max(count, 1))
    while True:
        try:
            given = [work(part) for part in torch.arange(count).split(at_once)]
            return tuple(torch.cat(pieces) for pieces in zip(*given, strict=True)), at_once
        except torch.OutOfMemoryError:
            if at_once == 1:
                raise
        free(device)
        at_once //= 2


def free(device: torch.device) -> None:
    """Hand back what the allocator keeps for later."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
