import platform
import subprocess
import sys

import pytest
from conftest import ROOT

FAULTS = """
import resource, sys
import torch
from lyricbert.runtime.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for number in range(40):
    if number == 20:  # the heap has grown to its final size by now
        before = faults()
    torch.zeros(10, 2**20)
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has the setting")
def test_freed_memory_is_reused():
    faults = {
        mode: int(subprocess.check_output([sys.executable, "-c", FAULTS, mode], cwd=ROOT)) for mode in ("keep", "give")
    }
    # 20 tensors of 40 MiB have 204,800 pages of 4 KiB, or 400 of 2 MiB.
    assert faults["give"] >= 400
    assert faults["keep"] < 0.05 * faults["give"]
