#!/usr/bin/env python3
"""Thousands of mixed requests against one server under a memory limit.

  tools/soak.py [MODEL] [--requests 10000] [--clients 8] [--limit-mib 400]

Chats, streams, tools, schemas, cancels, disconnects and errors
(soak_requests.py), from several clients and lanes at once, against `serve
MODEL` in a memory control group (versions 1 and 2; where none can be made,
under --memory-limit). After every fiftieth part all is quiet for 3 seconds and
the memory of both processes is read. Exit 1 unless

  no process died or was replaced, and no out-of-memory kill happened
  RSS grew by less than 1 %: the mean of the last fifth of the samples against
      the mean of the fifth behind the warm-up, which is the first two fifths
  nothing runs or waits at the end, and --parallel streams still run at once
  every answer was right (what can be checked is in soak_requests.py)

RSS is that of both processes, pages of files included.
"""

import argparse
import collections
import concurrent.futures
import json
import pathlib
import random
import statistics
import sys
import tempfile
import threading
import time

import soak_requests
from serving import Cgroup, MiB, Server, chunks, memory, table
from soak_requests import Shared, Wrong

PARTS = 50
PARALLEL = 12


class Soak:
    def __init__(self, server, options):
        self.server, self.options = server, options
        self.shared = Shared()
        self.counts = collections.Counter()
        self.wrong = []
        self.samples = []
        self.pids = (server.process.pid, server.worker())
        self.lock = threading.Lock()

    def one(self, number):
        rng = random.Random(self.options.seed * 1000003 + number)
        kinds, shares = zip(*soak_requests.KINDS)
        kind = rng.choices(kinds, shares)[0]
        try:
            kind(self.server, rng, self.shared)
        except (Wrong, OSError, ValueError, KeyError, RuntimeError) as error:
            with self.lock:
                self.wrong.append(f"{number} {kind.__name__}: {error!r}"[:600])
                print("WRONG", self.wrong[-1], flush=True)
        with self.lock:
            self.counts[kind.__name__] += 1

    def sample(self, done):
        metrics = self.server.wait_idle(quiet=3)
        now = {"requests": done, "restarts": metrics["worker_restarts_total"],
               "kept": metrics["kept_prompts"], "kv": metrics["kv_bytes"]}
        for name, pid in zip(("front", "worker"), self.pids):
            now[name] = memory(pid, "VmRSS")
            now[name + "_anon"] = memory(pid, "RssAnon")
        now["rss"] = now["front"] + now["worker"]
        self.samples.append(now)
        print(f"{done:6} requests, RSS {now['front'] / MiB:.1f} + "
              f"{now['worker'] / MiB:.1f} MiB (anonymous "
              f"{now['front_anon'] / MiB:.1f} + {now['worker_anon'] / MiB:.1f})"
              f", kept {now['kept']:.0f} prompts in {now['kv'] / MiB:.0f} MiB, "
              f"{self.shared.compared} answers compared, "
              f"{len(self.wrong)} wrong", flush=True)

    def run(self):
        total = self.options.requests
        with concurrent.futures.ThreadPoolExecutor(
                self.options.clients) as pool:
            for part in range(PARTS):
                first, end = total * part // PARTS, total * (part + 1) // PARTS
                list(pool.map(self.one, range(first, end)))
                self.sample(end)

    def growth(self, key="rss"):
        fifth = len(self.samples) // 5
        first = self.samples[2 * fifth:3 * fifth]
        last = self.samples[-fifth:]
        return (statistics.mean(each[key] for each in last) /
                statistics.mean(each[key] for each in first) - 1)

    def all_slots_work(self):
        """As many streams as fit in a batch: the most that ran at once."""
        most = 0
        body = {"model": "default", "max_tokens": 300, "ignore_eos": True,
                "messages": [{"role": "user", "content": "Count."}]}

        def run(seed):
            return sum(1 for _ in chunks(
                self.server, soak_requests.CHAT, {**body, "seed": seed}))

        with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
            streams = [pool.submit(run, seed) for seed in range(PARALLEL)]
            while not all(stream.done() for stream in streams):
                most = max(most, self.server.metrics()["requests_running"])
                time.sleep(0.05)
            list(stream.result() for stream in streams)
        return int(most)


def report(soak, seconds, group):
    most = soak.all_slots_work()
    at_end = soak.server.wait_idle()
    out = {
        "requests": sum(soak.counts.values()), "kinds": dict(soak.counts),
        "seconds": round(seconds), "limit_mib": soak.options.limit_mib,
        "limit_by": "control group" if group else "--memory-limit",
        "peak_mib": round(group.peak() / MiB) if group else None,
        "oom_kills": group.oom_kills() if group else None,
        "restarts": int(at_end["worker_restarts_total"]),
        "same_processes": soak.pids == (
            soak.server.process.pid, soak.server.worker()),
        "growth": soak.growth(),
        "growth_anonymous": {
            name: soak.growth(name + "_anon") for name in ("front", "worker")},
        "ran_at_once": most,
        "left_over": int(at_end["requests_running"] +
                         at_end["requests_waiting"]),
        "answers_compared": soak.shared.compared,
        "wrong": soak.wrong[:20], "wrong_count": len(soak.wrong),
        "samples": soak.samples,
    }
    rows = [
        ("processes that died", 0 if out["same_processes"] else "some", "0"),
        ("workers replaced", out["restarts"], "0"),
        ("out-of-memory kills", out["oom_kills"], "0"),
        ("RSS growth", f"{out['growth']:+.2%}", "< 1 %"),
        ("left over", out["left_over"], "0"),
        ("streams at once", most, PARALLEL),
        ("wrong answers", out["wrong_count"], "0"),
    ]
    good = [out["same_processes"], out["restarts"] == 0,
            not out["oom_kills"], out["growth"] < 0.01,
            out["left_over"] == 0, most == PARALLEL, not soak.wrong]
    print(f"{out['requests']} requests in {seconds:.0f} s, "
          f"{out['answers_compared']} answers compared with an earlier one")
    table([(*row, "yes" if ok else "NO") for row, ok in zip(rows, good)],
          ("what", "measured", "wanted", "held"))
    return out, all(good)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", nargs="?", default="smollm2-135m")
    parser.add_argument("--requests", type=int, default=10000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--limit-mib", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", help="also write everything to this file")
    options = parser.parse_args()
    folder = tempfile.TemporaryDirectory(prefix="rapid-soak-")
    flags = ["--parallel", str(PARALLEL), "--cache-dir", folder.name,
             "--disk-cache", "0.25"]
    try:
        group = Cgroup(options.limit_mib * MiB)
    except OSError:
        group = None
        flags += ["--memory-limit", f"{options.limit_mib}MiB"]
    server = Server(options.model, *flags, cgroup=group,
                    log=folder.name + "/server.log")
    good = False
    try:
        soak = Soak(server, options)
        begin = time.monotonic()
        soak.run()
        out, good = report(soak, time.monotonic() - begin, group)
        if options.json:
            pathlib.Path(options.json).write_text(json.dumps(out, indent=1))
    finally:
        server.stop()
        if group:
            group.remove()
        if not good:
            print(pathlib.Path(server.log).read_text()[-3000:])
        folder.cleanup()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
