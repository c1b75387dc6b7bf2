"""Builds wheels and sdists of rapid-mlx (PEP 517), with nothing but Python.

A wheel is the native program as a script, its licences and install.sh. It
depends on the MLX that it was linked with, to the very version: libmlx is C++.
`pip install .` lets pip bring that MLX; tools/package takes the one of .deps.
"""

import base64
import gzip
import hashlib
import importlib.util
import io
import os
import pathlib
import platform
import re
import subprocess
import sysconfig
import tarfile
import time
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = "rapid-mlx"
SUMMARY = "Local language models for agents: a native engine over MLX"
# 1980, the first year that a zip file knows.
EPOCH = max(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), 315532800)


def version():
    text = (ROOT / "CMakeLists.txt").read_text()
    return re.search(r"project\(\w+ VERSION ([\d.]+)", text).group(1)


def mlx_version():
    text = (ROOT / "tools/setup").read_text()
    return re.search(r"^MLX_VERSION=(\S+)", text, re.M).group(1)


def requirements(system):
    mlx = "mlx[cpu]" if system == "Linux" else "mlx"
    return [f"{mlx}=={mlx_version()}"]


def metadata(system):
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {PROGRAM}",
        f"Version: {version()}",
        f"Summary: {SUMMARY}",
        "License: Apache-2.0",
        "Requires-Python: >=3.10",
        *(f"Requires-Dist: {r}" for r in requirements(system)),
        "Description-Content-Type: text/markdown",
    ]
    return "\n".join(lines) + "\n\n" + (ROOT / "README.md").read_text()


# What the program prints about itself, and where systems look for it.
PRINTED = {
    "share/man/man1/rapid-mlx.1": ["man"],
    "share/bash-completion/completions/rapid-mlx": ["completion", "bash"],
    "share/zsh/site-functions/_rapid-mlx": ["completion", "zsh"],
    "share/fish/vendor_completions.d/rapid-mlx.fish": ["completion", "fish"],
}


def printed(speaker, mlx_library):
    """path -> text of what of PRINTED the program has. `speaker`: the words
    that run it here; `mlx_library`: the folder of its libmlx."""
    def said(*words):
        return subprocess.run(
            [*speaker, *words], check=True, capture_output=True,
            env={"PATH": os.environ["PATH"],
                 "LD_LIBRARY_PATH": str(mlx_library)}).stdout
    known = re.findall(rb"^  (\w+) ", said("help"), re.M)
    return {path: said(*words) for path, words in PRINTED.items()
            if words[0].encode() in known}


class Wheel:
    """A wheel under construction: reproducible bytes, RECORD included."""

    def __init__(self, tag, system):
        self.tag = tag
        self.stem = f"rapid_mlx-{version()}"
        self.name = f"{self.stem}-py3-none-{tag}.whl"
        self.files = []
        info = f"{self.stem}.dist-info"
        self.add(f"{info}/METADATA", metadata(system).encode())
        self.add(f"{info}/WHEEL", (
            "Wheel-Version: 1.0\nGenerator: rapid-mlx\n"
            f"Root-Is-Purelib: false\nTag: py3-none-{tag}\n").encode())
        self.add(f"{info}/licenses/LICENSE", (ROOT / "LICENSE").read_bytes())

    def add(self, name, data, mode=0o644):
        self.files.append((name, data, mode))

    def add_data(self, name, data):
        """A file of the environment itself, share/..."""
        self.add(f"{self.stem}.data/data/{name}", data)

    def add_program(self, program, texts, notices=b""):
        """`texts`: of printed()."""
        self.add(f"{self.stem}.data/scripts/{PROGRAM}", program.read_bytes(),
                 0o755)
        for path, text in texts.items():
            self.add_data(path, text)
        self.add_data(
            f"share/{PROGRAM}/install.sh", (ROOT / "install.sh").read_bytes())
        if notices:
            self.add(f"{self.stem}.dist-info/licenses/NOTICES", notices)

    def write(self, folder):
        record = f"{self.stem}.dist-info/RECORD"
        rows = []
        for name, data, _ in self.files:
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest())
            rows.append(f"{name},sha256={digest.decode().rstrip('=')},{len(data)}")
        rows.append(f"{record},,\n")
        self.add(record, "\n".join(rows).encode())
        path = pathlib.Path(folder) / self.name
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
            for name, data, mode in self.files:
                entry = zipfile.ZipInfo(name, zip_time())
                entry.external_attr = (0o100000 | mode) << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                out.writestr(entry, data)
        return path


def wheel_of(folder, tag):
    """The one wheel of ours there whose tag has that ending, or None."""
    found = sorted(pathlib.Path(folder).glob(f"rapid_mlx-{version()}-*{tag}.whl"))
    if len(found) > 1:
        raise SystemExit(f"error: {len(found)} wheels *{tag}.whl in {folder}\n"
                         "hint: make wheel, in an empty dist")
    return found[0] if found else None


def zip_time():
    return time.gmtime(EPOCH)[:6]


def build_program(build, mlx):
    """The program of a cmake tree, made there."""
    subprocess.run(
        ["cmake", "-S", ROOT, "-B", build, "-G", "Ninja",
         "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CXX_FLAGS_RELEASE=-O3",
         "-DRAPID_MLX_TESTS=OFF", f"-DMLX_DIR={mlx}"], check=True)
    subprocess.run(["cmake", "--build", build, "--target", "rapid-mlx-portable"], check=True)
    return pathlib.Path(build) / "portable" / PROGRAM


# What pip calls.

def get_requires_for_build_wheel(config_settings=None):
    return [*requirements(platform.system()), "cmake>=3.24,<4", "ninja"]


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    """For this machine only: linux_x86_64 and the like."""
    spec = importlib.util.find_spec("mlx")
    mlx = pathlib.Path(list(spec.submodule_search_locations)[0])
    tag = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    wheel = Wheel(tag, platform.system())
    program = build_program(ROOT / "build/pip", mlx / "share/cmake/MLX")
    wheel.add_program(program, printed([program], mlx / "lib"))
    return wheel.write(wheel_directory).name


def build_sdist(sdist_directory, config_settings=None):
    stem = f"rapid_mlx-{version()}"
    path = pathlib.Path(sdist_directory) / f"{stem}.tar.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    names = [n for n in listed.stdout.decode().split("\0") if n]
    with open(path, "wb") as raw, \
            gzip.GzipFile("", "wb", mtime=EPOCH, fileobj=raw) as packed, \
            tarfile.open(fileobj=packed, mode="w") as out:
        def add(name, data, mode):
            entry = tarfile.TarInfo(f"{stem}/{name}")
            entry.size, entry.mode, entry.mtime = len(data), mode, EPOCH
            out.addfile(entry, io.BytesIO(data))
        add("PKG-INFO", metadata(platform.system()).encode(), 0o644)
        for name in sorted(names):
            file = ROOT / name
            if file.is_file():
                mode = 0o755 if os.access(file, os.X_OK) else 0o644
                add(name, file.read_bytes(), mode)
    return path.name

