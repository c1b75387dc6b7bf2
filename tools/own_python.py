"""A tool that needs packages runs itself again in an environment of its own."""

import os
import pathlib
import subprocess
import sys

import serving

DEPS = pathlib.Path(os.environ.get("RAPID_MLX_DEPS", serving.ROOT / ".deps"))


def run_in(name, packages, *flags):
    """Goes on in .deps/NAME, which has the packages (installed once)."""
    home = DEPS / name
    if pathlib.Path(sys.prefix) == home:
        return
    python, stamp = home / "bin/python", home / ".requirements"
    want = " ".join([*flags, *packages])
    if not stamp.exists() or stamp.read_text() != want:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)],
                       check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet",
                        "--disable-pip-version-check", *flags, *packages],
                       check=True)
        stamp.write_text(want)
    os.execv(str(python), [str(python), *sys.argv])
