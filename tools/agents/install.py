"""Gets agents from the package registries, each into a folder of its own."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]
HOME = pathlib.Path(os.environ.get("RAPID_MLX_DEPS", ROOT / ".deps")) / "agents"


class NotAvailable(Exception):
    pass


def run(*command, env=None):
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise NotAvailable(lines[-1] if lines else f"{command[0]} failed")
    return done.stdout


def npm(folder, *packages, path=""):
    if shutil.which("npm") is None:
        raise NotAvailable("npm is not installed: tools/setup --tests")
    folder.mkdir(parents=True, exist_ok=True)
    run("npm", "install", "--silent", "--no-audit", "--no-fund",
        "--prefix", str(folder), *packages,
        env={**os.environ, "PATH": path + os.environ["PATH"]})


def node(least):
    """The folder of a new enough node: of this machine, else from npm."""
    own = shutil.which("node")
    if own and int(run(own, "-p", "process.versions.node.split('.')[0]")) >= least:
        return pathlib.Path(own).parent
    folder = HOME / "node/node_modules/.bin"
    if not (folder / "node").exists():
        npm(HOME / "node", f"node@{least}")
    return folder


def python(least):
    """A python that is new enough, the oldest of them."""
    found = [sys.executable] + [
        str(path) for minor in range(least[1], 14)
        for path in [shutil.which(f"python3.{minor}"), *pathlib.Path(
            os.path.expanduser("~/.pyenv/versions")).glob(
                f"3.{minor}.*/bin/python")] if path]
    versions = []
    for path in found:
        done = subprocess.run(
            [path, "-c", "import sys; print(*sys.version_info[:2])"],
            capture_output=True, text=True)
        if done.returncode == 0:
            version = tuple(map(int, done.stdout.split()))
            if version >= tuple(least):
                versions.append((version, path))
    if not versions:
        raise NotAvailable(f"needs Python {least[0]}.{least[1]}")
    return min(versions)[1]


def pip(folder, package, least):
    uv = HOME / "uv"
    if not (uv / "bin/uv").exists():
        run(sys.executable, "-m", "venv", str(uv))
        run(str(uv / "bin/pip"), "install", "--quiet", "uv")
    run(str(uv / "bin/uv"), "venv", "--quiet", "--clear", "--python",
        python(least), str(folder))
    run(str(uv / "bin/uv"), "pip", "install", "--quiet", "--python",
        str(folder / "bin/python"), package)


def install(agent):
    """(folders of its programs, version); once."""
    package = agent.npm or agent.pip
    folder = HOME / agent.profile_name()
    stamp = folder / ".version"
    path = f"{node(agent.node)}:" if agent.npm else ""
    if not stamp.exists():
        if agent.npm:
            npm(folder, package, path=path)
            version = json.loads((folder / "node_modules" / package /
                                  "package.json").read_text())["version"]
        else:
            pip(folder, package, agent.python)
            version = run(
                str(folder / "bin/python"), "-c",
                f"import importlib.metadata as m; print(m.version('{package}'))"
            ).strip()
        stamp.write_text(version)
    return (path + str(folder / ("node_modules/.bin" if agent.npm else "bin")),
            stamp.read_text())
