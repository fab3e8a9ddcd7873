"""What holds for the processor in a whole process."""

import subprocess
import sys

THREADED = """
import torch
from model.device import no_denormals
{call}
torch.set_num_threads(2)
tiny = torch.full((2**22,), 1e-30) * torch.full((2**22,), 1e-10)
print(int(tiny.count_nonzero()))
"""


def _denormals(call: str) -> int:
    result = subprocess.run(
        [sys.executable, "-c", THREADED.format(call=call)], capture_output=True, text=True, check=True
    )
    return int(result.stdout)


def test_numbers_that_are_too_small_are_zero_in_every_thread():
    assert _denormals("") == 2**22
    assert _denormals("no_denormals()") == 0
