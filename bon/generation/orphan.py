"""The main module of an engine's process: it ends that process when the one that started it is gone.

An interpreter that is killed, or that a signal ends which it does not handle, stops none of its engines, and
they wait for ever for the next request. So the engine's process waits for its parent's end, in a thread.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time


def end_with_parent() -> None:
    """Kill this process, a child of `multiprocessing`, as soon as the one that started it has ended."""
    while (parent := multiprocessing.parent_process()) is None:
        time.sleep(0.05)  # it is told only after its main module has been run
    parent.join()
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__mp_main__":
    threading.Thread(target=end_with_parent, name="end with parent", daemon=True).start()
