"""Large pictures piece by piece, so that memory stays bounded whatever their size."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

TILE = 256
"""Side of a tile, in pixels. With 256 channels of float32 a tile needs about 0.1 GB."""


def tiled(network: Callable[[Tensor], Tensor], x: Tensor, margin: int, tile: int = TILE) -> Tensor:
    """``network(x)``, computed on overlapping tiles where pictures are large.

    The result is that of the whole, up to rounding: a tile sees ``margin`` pixels of its neighbours,
    and where the picture ends the tile ends as well, so that padding happens where it would have. The
    gradient's memory is bounded, too: what a tile's gradient needs is computed again on the way back.

    Without a gradient to keep, a batch goes through in parts of no more pixels than a tile.

    Args:
        network: keeps height and width; a pixel of its output depends on ``margin`` pixels around it.
        x: shape (B,C,H,W).
        margin: in pixels; for n 3x3 convolutions it is n.
        tile: side of a tile, in pixels.
    """
    height, width = x.shape[-2:]
    large = height * width > tile * tile
    grad = torch.is_grad_enabled()
    together = max(1, len(x)) if grad and not large else max(1, tile * tile // (height * width))
    pieces = [
        (slice(b, b + together), slice(top, top + tile), slice(left, left + tile))
        for b in range(0, len(x), together)
        for top in range(0, height, tile)
        for left in range(0, width, tile)
    ]
    if len(pieces) <= 1:
        return network(x)
    out: Tensor | None = None
    for batch, rows, columns in pieces:
        top, left = max(0, rows.start - margin), max(0, columns.start - margin)
        patch = x[batch, :, top : rows.stop + margin, left : columns.stop + margin]
        y = checkpoint(network, patch, use_reentrant=False) if grad else network(patch)
        inner = y[:, :, rows.start - top :, columns.start - left :][:, :, :tile, :tile]
        if out is None:
            out = y.new_empty(len(x), y.shape[1], height, width)
        out[batch, :, rows, columns] = inner
    return network(x) if out is None else out
