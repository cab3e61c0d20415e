"""Group offloading of one module: its blocks are on the device one at a time, each while it computes.

Slow and small: for a denoiser that does not fit as a whole. The hooks are diffusers' own
(src/diffusers/hooks/group_offloading.py), which has a way to apply them and none to take them off.
"""

from __future__ import annotations

import torch
from diffusers.hooks import HookRegistry, apply_group_offloading
from diffusers.hooks.group_offloading import _maybe_remove_and_reapply_group_offloading

_HOST = torch.device("cpu")

#: As diffusers names them.
_HOOKS = ("group_offloading", "layer_execution_tracker", "lazy_prefetch_group_offloading")


def install_group_offload(module: torch.nn.Module, device: torch.device) -> None:
    """Puts the hooks on. Block by block where the module has lists of blocks, else leaf by leaf. On CUDA the next group is
    fetched while one computes."""
    blocks = any(isinstance(child, torch.nn.ModuleList) for child in module.children())
    with torch.inference_mode(False), torch.no_grad():
        apply_group_offloading(
            module,
            onload_device=device,
            offload_device=_HOST,
            offload_type="block_level" if blocks else "leaf_level",
            num_blocks_per_group=1 if blocks else None,
            use_stream=device.type == "cuda",
        )


def remove_group_offload(module: torch.nn.Module) -> None:
    """Takes them off; the weights stay on the host."""
    registry = HookRegistry.check_if_exists_or_initialize(module)
    for name in _HOOKS:
        registry.remove_hook(name, recurse=True)
    # A registry remembers its children's; one that forgot to look again would not find hooks set later (diffusers#14037).
    registry.invalidate_child_registries_cache()


def renew_group_offload(module: torch.nn.Module) -> None:
    """Has the hooks, where there are any, take up the weights as they are now. On CUDA they keep pinned copies, and a cast
    module would be given its old weights at the next forward."""
    with torch.inference_mode(False), torch.no_grad():
        _maybe_remove_and_reapply_group_offloading(module)
