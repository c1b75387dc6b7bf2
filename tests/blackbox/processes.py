"""What the kernel says about a server's two processes."""

import pathlib
import re
import time


def children(pid):
    """Process ids started by any thread of `pid`."""
    out = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            out += map(int, (task / "children").read_text().split())
        except OSError:
            pass  # the thread ended
    return out


def worker_of(server):
    end = time.monotonic() + 20
    while time.monotonic() < end:
        found = children(server.process.pid)
        if found:
            assert len(found) == 1, found
            return found[0]
        time.sleep(0.01)
    raise AssertionError("no worker")


def is_gone(pid, limit):
    end = time.monotonic() + limit
    while time.monotonic() < end:
        try:
            state = pathlib.Path(f"/proc/{pid}/stat").read_text()
            if state.rsplit(")", 1)[1].split()[0] == "Z":
                return True  # nobody is left to reap it
        except OSError:
            return True
        time.sleep(0.02)
    return False


def memory(pid, field, name="status"):
    """Bytes, from /proc/PID/status or smaps_rollup."""
    text = pathlib.Path(f"/proc/{pid}/{name}").read_text()
    return int(re.search(rf"{field}:\s+(\d+)", text).group(1)) * 1024


def peak_of(server):
    """The most that a server took: pages of the program and its libraries are
    in both processes, and there once."""
    front = server.process.pid
    return memory(worker_of(server), "VmHWM") + sum(
        memory(front, f"Private_{kind}", "smaps_rollup")
        for kind in ["Clean", "Dirty"])
