"""Imported by an engine's process in place of a main module: no engine outlives the process that started it.

vLLM's own does, where that process is killed, and keeps its memory. Its main thread may be busy in
native code, hence SIGKILL; a signal that the kernel sends at a parent's death would come too early, for
to the kernel the parent is the thread that started the process, and that thread ends.
"""

from __future__ import annotations

import os
import signal
import threading
import time

LOOK = 1.0
"""Seconds between two looks at who the parent is."""


def end_with_parent() -> None:
    """Returns never."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(LOOK)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__mp_main__":
    threading.Thread(target=end_with_parent, name="end-with-parent", daemon=True).start()
