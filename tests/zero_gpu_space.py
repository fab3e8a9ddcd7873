"""Starts the lab as a Space with ZeroGPU does: the real package ``spaces``, and a CPU for want of a GPU.

The environment must name a broker, see ``test_zero_gpu.py``.
"""

import sys

import spaces  # noqa: F401 - before torch
from spaces.zero import torch as emulation

emulation.init = emulation.move = lambda *_, **__: None  # what a copy does with the GPU that it was lent

if __name__ == "__main__":
    from app import zero_gpu
    from app.cli import main

    zero_gpu.DEVICE = "cpu"
    sys.exit(main())
