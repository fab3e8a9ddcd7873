"""Which device computes."""

import time
from statistics import median
from typing import Any, TypeVar, cast

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


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
    """The number format to train in: bfloat16 where the processor is faster in it, else float32.

    Without instructions for it a CPU emulates it, several times slower than float32. With them it may be
    slower still: of two processors that both have AVX512-BF16, one took half of float32's time for a
    convolution, the other twice as much. So one is timed.
    """
    if device.type == "cuda":
        return "bfloat16"
    has_instructions = "AVX512" in torch.backends.cpu.get_cpu_capability() and (
        torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    )
    faster = has_instructions and convolution_seconds(torch.bfloat16) < convolution_seconds(torch.float32)
    return "bfloat16" if faster else "float32"


def convolution_seconds(dtype: torch.dtype, repeats: int = 5) -> float:
    """What a 3x3 convolution of 96 channels takes on the CPU, forward and back: the median, in seconds."""
    x = torch.ones(8, 96, 32, 32, dtype=dtype).contiguous(memory_format=torch.channels_last)
    weight = torch.full((96, 96, 3, 3), 0.01, dtype=dtype, requires_grad=True)
    times = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        nn.functional.conv2d(x.requires_grad_(), weight, padding=1).square().mean().backward()
        times.append(time.perf_counter() - start)
    return median(times[2:])  # the first ones compile


def no_denormals() -> None:
    """Take numbers too small for a float's full precision (under 1e-38) for zero, in all threads from now on.

    A processor computes with them many times more slowly, and the slopes of a trained network's activations
    make many: a training step of ``comdefend-photo`` took four times as long. A thread inherits this from the
    one that starts it: call it before the first computation.
    """
    torch.set_flush_denormal(True)


def channels_last(model: M) -> M:
    """A model whose weights lie in memory as a CPU's convolutions are fastest with; the same one."""
    cast("Any", model).to(memory_format=torch.channels_last)  # torch 2.11 has it, and does not describe it
    return model


def frozen(model: M) -> M:
    """A model for answers, and gradients by the picture, alone: none by its weights; the same one."""
    return channels_last(model.eval().requires_grad_(False))


def many_graphs() -> None:
    """Let ``torch.compile`` keep more graphs of a piece of code than its default of 8.

    Training, an attack and a test have one each, for every network of a class; beyond the limit it is silent.
    """
    torch._dynamo.config.recompile_limit = 64


def on_gpu(model: nn.Module) -> bool:
    """Whether all of a model lies on a GPU, where an optimiser may work in one kernel."""
    return all(parameter.is_cuda for parameter in model.parameters())


def settle(device: torch.device) -> None:
    """Wait for a GPU's pending work, so that a clock can be read; elsewhere there is none."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def device_name(device: torch.device) -> str:
    """The GPU's name, or "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
