"""The name under which :mod:`model.pretrained` and :mod:`model.files` were one room.

For those who still ask here; it goes with the last of them.
"""

import sys

from model import files, pretrained
from model.files import (
    REPOSITORY,
    WeightsError,
    file_hash,
    load_tensors,
    read_json,
    read_tensors,
    replace_folder,
    tensors_hash,
    write_atomically,
    write_json,
)
from model.pretrained import (
    CONFIG_FILE,
    TENSORS_FILE,
    WEIGHTS,
    Pretrained,
    find_folder,
    read_config,
    read_record,
)

__all__ = [
    "CONFIG_FILE",
    "REPOSITORY",
    "TENSORS_FILE",
    "WEIGHTS",
    "Pretrained",
    "WeightsError",
    "file_hash",
    "find_folder",
    "load_tensors",
    "read_config",
    "read_json",
    "read_record",
    "read_tensors",
    "replace_folder",
    "tensors_hash",
    "write_atomically",
    "write_json",
]

for _name in __all__:
    if not hasattr(pretrained, _name):
        setattr(pretrained, _name, getattr(files, _name))
# One module under two names, so that a constant that is replaced in one is replaced in the other.
sys.modules[__name__] = pretrained
