"""Checkpoints: what a run that was stopped goes on from, in one file."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from model.files import WeightsError, load_tensors, read_tensors, write_atomically


def save_run(
    path: Path, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer, state: dict[str, Any]
) -> None:
    """Write all that a run needs to go on into one safetensors file, in one step.

    Args:
        modules: by name, which has no dot.
        state: what is not a tensor (JSON values), kept in the file's metadata.
    """
    tensors = {
        f"{prefix}.{name}": tensor
        for prefix, module in modules.items()
        for name, tensor in module.state_dict().items()
    }
    for index, entries in optimizer.state_dict()["state"].items():
        for name, value in entries.items():
            if value is not None:
                tensors[f"optimizer.{index}.{name}"] = torch.as_tensor(value)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, to_safetensors(tensors, metadata={"state": json.dumps(state)}))


def read_run_state(path: Path) -> dict[str, Any]:
    """The ``state`` of a run saved by :func:`save_run`."""
    _, metadata = read_tensors(path)
    try:
        state: dict[str, Any] = json.loads(metadata["state"])
    except (KeyError, ValueError) as error:
        raise WeightsError(f"{path} is damaged: it holds no state of a run") from error
    return state


def load_run(path: Path, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer) -> None:
    """Put the tensors of :func:`save_run` back into ``modules``, by name, and ``optimizer``."""
    tensors, _ = read_tensors(path)
    for prefix, module in modules.items():
        own = {n.removeprefix(f"{prefix}."): t for n, t in tensors.items() if n.startswith(f"{prefix}.")}
        load_tensors(module, own, path)
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, entry = name.split(".", 2)
            state.setdefault(int(index), {})[entry] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    for parameter, kept in optimizer.state.items():
        for name, value in kept.items():
            if value.shape == parameter.shape:  # in memory as the parameter, as fused optimisers want it
                kept[name] = torch.empty_like(parameter).copy_(value)
