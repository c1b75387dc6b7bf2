"""A `rapid-mlx serve` that the tools start, ask and watch. Only Python's own."""

import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[1]
BINARY = os.environ.get(
    "RAPID_MLX_BIN", str(ROOT / "build/release/bin/rapid-mlx"))
sys.path.insert(0, str(ROOT / "tests/blackbox"))
from processes import children, memory  # noqa: E402

MiB = 1 << 20
# Who is told to stop stops the servers, too.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Cgroup:
    """A memory control group of version 1 or 2, where one may be made."""

    def __init__(self, limit):
        name = f"rapid-mlx-{os.getpid()}"
        for root, file, peak in [
            ("memory", "memory.limit_in_bytes", "memory.max_usage_in_bytes"),
            ("", "memory.max", "memory.peak"),
        ]:
            folder = pathlib.Path("/sys/fs/cgroup") / root / name
            try:
                folder.mkdir()
                (folder / file).write_text(str(limit))
            except OSError:
                if folder.exists():
                    folder.rmdir()
                continue
            self.folder, self.peak_file = folder, folder / peak
            return
        raise OSError("no memory control group can be made here")

    def enter(self):
        (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    def peak(self):
        return int(self.peak_file.read_text())

    def oom_kills(self):
        for name in ("memory.oom_control", "memory.events"):
            try:
                for line in (self.folder / name).read_text().splitlines():
                    if line.startswith("oom_kill "):
                        return int(line.split()[1])
            except OSError:
                pass
        return 0

    def remove(self):
        self.folder.rmdir()


class Server:
    """Starts at once; `start()` again after stop() or kill() on the same port."""

    def __init__(self, model, *flags, command=None, port=None, cgroup=None,
                 env=None, log=None):
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        if command is None:
            command = [BINARY, "serve", model, "--port", str(self.port)]
        self.command = [*command, *flags]
        self.cgroup = cgroup
        self.env = {**os.environ, **(env or {})}
        self.log = log or os.devnull
        self.start()

    def start(self, limit=120):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, env=self.env,
                preexec_fn=self.cgroup.enter if self.cgroup else None)
        end = time.monotonic() + limit
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise SystemExit(
                    f"the server ended with {self.process.returncode}, "
                    f"see {self.log}: {' '.join(self.command)}")
            try:
                if ask(self, "GET", "/health")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise SystemExit("the server was not ready in time")

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(30)

    def kill(self):
        self.process.kill()
        self.process.wait(30)

    def worker(self):
        """Its process id; None while there is none."""
        found = children(self.process.pid)
        return found[0] if found else None

    def kill_worker(self):
        worker = self.worker()
        if worker is not None:
            os.kill(worker, signal.SIGKILL)
        return worker is not None

    def metrics(self):
        lines = ask(self, "GET", "/metrics", text=True)[1].splitlines()
        return {line.split()[0].removeprefix("rapid_mlx_"):
                float(line.split()[1])
                for line in lines if line and not line.startswith("#")}

    def wait_idle(self, quiet=0.0, limit=120):
        """Until nothing runs or waits, and `quiet` seconds more."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            now = self.metrics()
            if now["requests_running"] == now["requests_waiting"] == 0:
                time.sleep(quiet)
                return now
            time.sleep(0.05)
        raise SystemExit(f"requests are left over: {now}")

    def rss(self):
        """Bytes of the front and of the worker."""
        return [memory(pid, "VmRSS")
                for pid in (self.process.pid, self.worker()) if pid]


def connect(server, method, path, body=None, headers=None, timeout=600):
    link = http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    link.request(method, path, body,
                 {"content-type": "application/json", **(headers or {})})
    return link


def ask(server, method, path, body=None, headers=None, text=False,
        timeout=600):
    """(status, parsed body)."""
    link = connect(server, method, path, body, headers, timeout)
    try:
        reply = link.getresponse()
        data = reply.read()
        return reply.status, data.decode() if text else json.loads(data)
    finally:
        link.close()


def chunks(server, path, body, headers=None):
    """The events of a stream, parsed; close() of the generator hangs up."""
    link = connect(server, "POST", path, {**body, "stream": True}, headers)
    try:
        reply = link.getresponse()
        if reply.status != 200:
            raise RuntimeError(f"{reply.status}: {reply.read().decode()}")
        for line in reply:
            if line.startswith(b"data: {"):
                yield json.loads(line[6:])
            elif line.startswith(b"data: [DONE]"):
                yield None
    finally:
        link.close()


def cached(usage):
    return usage["prompt_tokens_details"]["cached_tokens"]


def table(rows, head):
    """Prints rows of texts under a head, in columns."""
    rows = [list(map(str, row)) for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  ".join(f"{cell:<{width}}"
                        for cell, width in zip(row, widths)).rstrip())
    sys.stdout.flush()
