"""Which device computes."""

import ctypes
import platform

import torch
from torch import nn


class DeviceError(RuntimeError):
    """A device cannot be used; the message names it."""


def choose_device(name: str) -> torch.device:
    """The device of that name; ``auto`` means the GPU where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise DeviceError(f"the device {name!r} cannot be used: {reason}") from error
    return device


def fast_math(device: torch.device) -> None:
    """Let a GPU compute float32 products in TensorFloat-32, and choose its convolutions by trying them."""
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True


def training_precision(device: torch.device) -> str:
    """The number format to train in: bfloat16 where the processor computes in it, else float32.

    Without instructions for it a CPU emulates it, several times slower than float32.
    """
    cpu = torch.backends.cpu.get_cpu_capability() if device.type == "cpu" else ""
    native = device.type == "cuda" or (
        "AVX512" in cpu and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    )
    return "bfloat16" if native else "float32"


def keep_memory() -> None:
    """Let the C library keep the memory of large tensors instead of giving it back at every step.

    A third of a training's processor time was the system's without this. Only glibc has these settings;
    elsewhere nothing happens. They are ``M_TRIM_THRESHOLD`` and ``M_MMAP_THRESHOLD`` of mallopt(3).
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        for setting in (-1, -3):
            library.mallopt(setting, 2**31 - 1)


def many_graphs() -> None:
    """Let ``torch.compile`` keep more graphs of a piece of code than its default of 8.

    Training, an attack and a test have one each, for every network of a class; beyond the limit it is silent.
    """
    torch._dynamo.config.recompile_limit = 64


def on_gpu(model: nn.Module) -> bool:
    """Whether all of a model lies on a GPU, where an optimiser may work in one kernel."""
    return all(parameter.is_cuda for parameter in model.parameters())


def device_name(device: torch.device) -> str:
    """The GPU's name, or "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
