"""Real agents against rapid-mlx: installed from the package registries, set up
by `rapid-mlx agents`, each given one task of two steps (write a file, then two
tool calls at once).

  tools/agents [NAME...]      replay: the model's part is written, so the task
                              must be done; live: a small model, which may fail
                              it, but every answer must keep to the protocol

They run where no other host can be reached, in a home that is thrown away.
"""

import argparse
import ctypes
import fcntl
import json
import pathlib
import socket
import struct
import sys

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
import install  # noqa: E402
import programs  # noqa: E402
import serving  # noqa: E402
from trial import Trial  # noqa: E402

CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1


def leave_network():
    """A network of its own with nothing but this machine in it, where that is
    allowed. Where not, the programs are only told to call nobody."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNET) != 0:
            return False
    except (OSError, AttributeError):
        return False
    with socket.socket() as s:
        fcntl.ioctl(s, SIOCSIFFLAGS,
                    struct.pack("16sh14x", b"lo", IFF_UP))
    return True


def server_of(mode, trial, model):
    if mode == "live":
        return serving.Server(model, "--disk-cache", "0")
    port = serving.free_port()
    return serving.Server(None, port=port, command=[
        serving.BINARY, "replay", str(trial.script()), "--serve", "--port",
        str(port)], log=trial.top / "server")


def try_one(agent, path, mode, options, server):
    keep = options.keep and options.keep / f"{agent.name}-{mode}"
    trial = Trial(agent, path, serving.BINARY, keep)
    own = None
    try:
        if server is None:
            server = own = server_of(mode, trial, options.model)
        row = trial.run(server.port, options.limit)
        if own and (row["errors"] or not row["done"]):
            row["log"] = trial.tail()
        return row
    finally:
        if own:
            own.stop()
        trial.remove()


def row_of(agent, place, mode, options, server):
    if isinstance(place, str):
        return {"agent": agent.name, "missing": place}
    path, version = place
    return {"agent": agent.name, "version": version, "mode": mode,
            **try_one(agent, path, mode, options, server)}


def chosen(names):
    if not names:
        return programs.AGENTS
    out = [a for a in programs.AGENTS if {a.name, a.profile_name()} & set(names)]
    unknown = set(names) - {x for a in out for x in (a.name, a.profile_name())}
    if unknown:
        raise SystemExit(
            f"error: no agent is named {', '.join(sorted(unknown))}\nhint: "
            f"{' '.join(a.name for a in programs.AGENTS)}")
    return out


def installed(agents):
    """name -> (its PATH, version), or why not."""
    out = {}
    for agent in agents:
        try:
            out[agent.name] = install.install(agent)
        except install.NotAvailable as why:
            out[agent.name] = str(why)
    return out


def is_right(row):
    """Written outputs must lead to the task done; a live model may fail."""
    return not row["errors"] and (row["mode"] == "live" or row["done"])


def say(row):
    if "missing" in row:
        cells = [row["agent"], "-", "", "not available: " + row["missing"]]
    else:
        cells = [
            row["agent"], row["version"], row["mode"],
            "done" if row["done"] else "not done", row["requests"],
            row["seconds"], len(row["errors"]) or "none", row["exit"]]
    print("{:14}{:12}{:8}{:10}{:>9}{:>8}{:>9}{:>6}".format(
        *map(str, cells + [""] * (8 - len(cells)))).rstrip(), flush=True)
    for trouble in row.get("errors", []):
        print("    " + trouble, flush=True)


def main():
    parser = argparse.ArgumentParser(
        prog="tools/agents", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--mode", choices=["replay", "live", "both"],
                        default="both")
    parser.add_argument("--model", default="qwen2.5-coder-0.5b")
    parser.add_argument("--limit", type=float, default=300, metavar="SECONDS",
                        help="for one agent's task")
    parser.add_argument("--keep", type=pathlib.Path, metavar="DIR",
                        help="homes, logs and all that was said")
    parser.add_argument("--install", action="store_true",
                        help="only that")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    agents = chosen(options.names)
    places = installed(agents)
    if options.install:
        missing = [f"{name}: {why}" for name, why in places.items()
                   if isinstance(why, str)]
        print("\n".join(missing), file=sys.stderr, end="")
        return 1 if missing else 0
    alone = leave_network()
    if not options.json:
        print("no other host can be reached" if alone else
              "note: this system gives no network of its own")
        print("{:14}{:12}{:8}{:10}{:>9}{:>8}{:>9}{:>6}".format(
            "AGENT", "VERSION", "MODEL", "TASK", "REQUESTS", "SECONDS",
            "ERRORS", "EXIT"))
    rows = []
    for mode in ["replay", "live"] if options.mode == "both" else [options.mode]:
        server = None
        if mode == "live":
            server = server_of(mode, None, options.model)
        try:
            for agent in agents:
                row = row_of(agent, places[agent.name], mode, options, server)
                if row not in rows:  # what is missing is said once
                    rows.append(row)
                    options.json or say(row)
        finally:
            if server:
                server.stop()
    if options.json:
        print(json.dumps(rows, indent=1))
    return 0 if all("missing" in r or is_right(r) for r in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
