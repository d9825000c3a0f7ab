"""What the chat page holds: memory and files of large videos, while they are open and afterwards."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_THREADS_THAT_DECODE = """
from threading import Thread
import numpy as np
from keyframe_llm.demos import memory

def resident_mb():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 // 1_000_000

def decode():
    kept.append(np.ones(3_000, np.uint8))
    pictures = [np.ones(3_000_000, np.uint8) for _ in range(15)]

kept = []
memory.keep_memory_in_one_place()
np.ones(30_000_000, np.uint8)  # after this, glibc takes smaller blocks for worth keeping
before = resident_mb()
threads = [Thread(target=decode) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
memory._free()
print(resident_mb() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_pictures_that_threads_decoded_are_given_back_to_the_system() -> None:
    held = subprocess.run([sys.executable, "-c", _THREADS_THAT_DECODE], capture_output=True, text=True)
    assert held.stderr == "" and int(held.stdout) < 20
