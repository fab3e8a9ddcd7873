"""Pure tensor functions of the code: noise, binarisation, straight-through gradients, packing."""

import io
import math
import zipfile
import zlib
from collections.abc import Collection
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

Surrogate = Literal["gaussian", "sigmoid", "identity"]
SURROGATES: tuple[Surrogate, ...] = get_args(Surrogate)


DAMAGED = (
    ValueError, KeyError, TypeError, OverflowError, OSError, EOFError, MemoryError,
    zlib.error, zipfile.BadZipFile,
)  # fmt: skip
"""What an archive may raise that is none of ours."""


class CodeError(ValueError):
    """A code is damaged, or has an impossible shape or number of planes."""


def noisy_code(logits: Tensor, sigma: float, generator: torch.Generator | None = None) -> Tensor:
    """The training code, ``sigmoid(logits - sigma * N(0,1))`` (paper, eq. 6 and section 3.3).

    The noise pushes the logits away from zero, so that thresholding them later loses little.

    Args:
        logits: shape (B,K,H,W), any real number.
        sigma: standard deviation of the noise, >= 0.
        generator: source of the noise, on the logits' device; torch's global one if None.

    Returns:
        Soft code, shape (B,K,H,W), range (0,1).
    """
    noise = torch.empty_like(logits).normal_(generator=generator)
    return torch.sigmoid(logits - sigma * noise)


def normalised(logits: Tensor) -> Tensor:
    """Logits of each position scaled to a root mean square of one over the planes, shape (B,K,H,W).

    This is the sphere of binary spherical quantisation (Zhao, Xiong and Krähenbühl 2024): no bit changes, no
    logit can grow beyond sqrt(K), and no squashing flattens the gradient of large ones.
    """
    return logits * torch.rsqrt(logits.square().mean(1, keepdim=True) + 1e-6)


def soft_code(logits: Tensor, width: float, surrogate: Surrogate = "gaussian") -> Tensor:
    """A smooth stand-in for the hard code, whose slope replaces the threshold's.

    - ``gaussian``: Phi(logits / width). With ``width`` = sigma it is the mean of the noisy training
      code (up to the sigmoid's own width, 1.7); it must be as wide as the logits are.
    - ``sigmoid``: sigmoid(logits). It saturates on trained logits and masks the gradient.
    - ``identity``: logits (BPDA with the identity; Athalye et al. 2018).
    """
    if surrogate == "gaussian":
        code: Tensor = torch.special.ndtr(logits / width)
        return code
    if surrogate == "sigmoid":
        return torch.sigmoid(logits)
    if surrogate == "identity":
        return logits
    raise ValueError(f"unknown surrogate {surrogate!r}; choose from {SURROGATES}")


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """The values of ``hard``, exactly, with the gradient of ``soft`` (Bengio et al. 2013)."""
    # In this order the sum is exact: (soft - soft) is 0, whereas soft + (hard - soft) may round.
    return hard + (soft - soft.detach())


def binarise(logits: Tensor, width: float, surrogate: Surrogate = "gaussian") -> Tensor:
    """Hard code ``1[logits > 0]`` with a straight-through gradient (Bengio et al. 2013).

    Args:
        logits: shape (B,K,H,W), any real number.
        width: of the gaussian surrogate, see :func:`soft_code`.
        surrogate: whose gradient flows backwards.

    Returns:
        Shape (B,K,H,W), exactly 0.0 or 1.0, in the dtype of ``logits``.
    """
    hard = (logits > 0).to(logits.dtype)
    if not (torch.is_grad_enabled() and logits.requires_grad):
        return hard
    return straight_through(hard, soft_code(logits, width, surrogate))


def partly_hard(
    logits: Tensor, width: float, share: float, generator: torch.Generator | None = None
) -> Tensor:
    """A code of which some bits, drawn at random, are hard already, and the others soft.

    Soft bits have a true gradient, hard ones a straight-through one. A network that learns on soft bits, of
    which more and more become hard, learns faster than one that has only hard ones from the start.

    Args:
        logits: shape (B,K,H,W), any real number.
        width: of the soft code, see :func:`soft_code`; also of the hard bits' gradient.
        share: of the bits that are hard, in [0,1].
        generator: source of the randomness, on the logits' device; torch's global one if None.

    Returns:
        Shape (B,K,H,W), range [0,1], in the dtype of ``logits``.
    """
    soft = soft_code(logits, width)
    chosen = torch.empty_like(logits).uniform_(generator=generator) < share
    return torch.where(chosen, straight_through((logits > 0).to(logits.dtype), soft), soft)


def keep_planes(code: Tensor, planes: int | Tensor) -> Tensor:
    """The code with only its first planes; the others are zero.

    Args:
        code: shape (B,K,H,W).
        planes: how many are kept, from 1 to K; for all pictures, or for each, int64 of shape (B,).

    Returns:
        Shape (B,K,H,W), dtype of ``code``.
    """
    total = code.shape[1]
    if isinstance(planes, int) and not 1 <= planes <= total:
        raise CodeError(f"planes must be from 1 to {total}, got {planes}")
    if isinstance(planes, int) and planes == total:
        return code
    index = torch.arange(total, device=code.device)
    kept = index < torch.as_tensor(planes, device=code.device).view(-1, 1)  # (1 or B,K)
    return code * kept[:, :, None, None].to(code.dtype)


def without_planes(code: Tensor, off: Collection[int]) -> Tensor:
    """The code with some of its planes switched off, which is to say zero, as :func:`keep_planes` has it.

    A code of which a plane is off is a binary code still, and such as RecCNN met in training where the codec
    was trained to have its last planes cut away. A codec of the light shape centres its codes before RecCNN:
    there a plane that is off is one that is -1/2 everywhere, not one that says nothing.

    Args:
        code: shape (B,K,H,W).
        off: numbers of planes, from 0 to K - 1.

    Returns:
        Shape (B,K,H,W), dtype of ``code``.

    Raises:
        CodeError: there is no such plane.
    """
    total = code.shape[1]
    if missing := sorted(number for number in off if not 0 <= number < total):
        raise CodeError(f"planes are numbered from 0 to {total - 1}, got {missing}")
    code = code.clone()
    code[:, sorted(off)] = 0
    return code


def turned_bits(before: Tensor, after: Tensor) -> Tensor:
    """Where two codes of the same place differ, among the planes that both have.

    Args:
        before, after: shapes (B,K,h,w) and (B,K',h,w), 0 and 1: of a codec that keeps more planes of one
            picture than of another.

    Returns:
        Bool, shape (B,min(K,K'),h,w).
    """
    common = min(before.shape[1], after.shape[1])
    return before[:, :common] != after[:, :common]


def pack_code(code: Tensor, size: tuple[int, int] | None = None) -> bytes:
    """Pack one binary code to a ``.npz`` archive (not deflated): 8 code bits per byte.

    The archive holds ``bits`` (uint8, ``numpy.packbits`` of the code in C order) and ``shape``, and ``size``
    where it is given.

    Args:
        code: shape (K,h,w), values 0 and 1.
        size: height and width of the picture, which a code of the light shape does not tell by itself.
    """
    if code.ndim != 3:
        raise CodeError(f"a code has shape (planes, height, width), got {tuple(code.shape)}")
    array = code.detach().cpu().numpy()
    if not np.isin(array, (0, 1)).all():
        raise CodeError("a code holds only zeros and ones")
    buffer = io.BytesIO()
    entries = {"bits": np.packbits(array.astype(np.uint8)), "shape": np.array(array.shape)}
    if size is not None:
        entries["size"] = np.array(size)
    np.savez(buffer, **entries)  # type: ignore[arg-type]  # its stub takes them for options
    return buffer.getvalue()


class PackedCode(NamedTuple):
    """What a file of :func:`pack_code` holds."""

    code: Tensor
    """Shape (K,h,w), uint8 of 0 and 1."""
    size: tuple[int, int] | None
    """Height and width of the picture, for ``ComDefend.reconstruct``; None: those of the code."""


def unpack_code(packed: bytes) -> Tensor:
    """The code of :func:`unpack`, shape (K,h,w), uint8 of 0 and 1."""
    return unpack(packed).code


def unpack(packed: bytes) -> PackedCode:
    """The inverse of :func:`pack_code`.

    Raises:
        CodeError: the bytes are no such archive, or its entries contradict each other.
    """
    try:
        with np.load(io.BytesIO(packed), allow_pickle=False) as archive:
            bits, shape = archive["bits"], tuple(int(n) for n in archive["shape"])
            size = tuple(int(n) for n in archive["size"]) if "size" in archive else None
    except DAMAGED as error:
        raise CodeError(f"not a packed code: {error}") from error
    count = math.prod(shape)
    if len(shape) != 3 or min(shape) < 1 or bits.dtype != np.uint8 or bits.size != -(-count // 8):
        raise CodeError(f"a packed code of shape {shape} cannot have {bits.size} {bits.dtype} bytes")
    if size is not None and (len(size) != 2 or any(s < n for s, n in zip(size, shape[1:], strict=True))):
        raise CodeError(f"a packed code of shape {shape} cannot be one of a picture of {size}")
    code = torch.from_numpy(np.unpackbits(bits, count=count).reshape(shape))
    return PackedCode(code, None if size is None else (size[0], size[1]))
