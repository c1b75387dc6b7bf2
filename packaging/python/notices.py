"""The licences of what is linked into the program or lies beside it."""

import json
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Debian's packages whose archives or headers are in the program.
PACKAGES = ["libssl-dev", "libsqlite3-dev", "libyaml-cpp-dev", "libedit-dev",
            "libbsd-dev", "libmd-dev", "libncurses-dev", "libminizip-dev",
            "zlib1g-dev", "libfmt-dev", "libspdlog-dev", "libboost1.81-dev",
            "nlohmann-json3-dev", "libcli11-dev", "libtomlplusplus-dev",
            "libstdc++-12-dev"]


def crates(target):
    """(name, version, licence, texts) of the Rust library's dependencies."""
    manifest = ROOT / "src/text/rust/Cargo.toml"
    told = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--locked", "--offline",
         "--filter-platform", target,
         "--manifest-path", manifest], check=True, capture_output=True)
    for package in json.loads(told.stdout)["packages"]:
        if package["source"]:
            folder = pathlib.Path(package["manifest_path"]).parent
            texts = [folder / n for n in sorted(os.listdir(folder))
                     if n.upper().startswith(("LICEN", "COPYING", "NOTICE"))]
            yield (package["name"], package["version"], package["license"],
                   [t.read_text(errors="replace") for t in texts
                    if t.is_file()])


def debian_files():
    """name -> licences of Debian's packages on this machine."""
    files = {n: pathlib.Path("/usr/share/doc") / n / "copyright" for n in PACKAGES}
    return {name: file for name, file in files.items() if file.is_file()}


LAPACK = """
==== libraries in the wheel of MLX ====
LAPACK and BLAS (BSD-3-Clause), libgfortran (GPL-3 with the GCC Runtime Library
Exception), libquadmath (LGPL-2.1 or newer).
"""


def text(libmlx, target, licences):
    """One text; the same licence text of several crates stands once. licences:
    name -> file, of the C and C++ libraries."""
    out = ["rapid-mlx contains, or comes with, parts of these projects.\n"]
    for name, file in licences.items():
        out.append(f"\n==== {name} ====\n{file.read_text(errors='replace')}")
    for info in sorted(libmlx.parents[2].glob("mlx*.dist-info")):
        for file in sorted(info.rglob("LICENSE*")):
            out.append(f"\n==== {info.stem} ====\n{file.read_text()}")
    if libmlx.suffix == ".so":
        out.append(LAPACK)
    texts = {}
    for name, version, licence, files in crates(target):
        if not files:
            texts.setdefault(f"{licence}\n", []).append(f"{name} {version}")
        for file in files:
            texts.setdefault(file, []).append(f"{name} {version}")
    for file, names in texts.items():
        out.append(f"\n==== {', '.join(sorted(set(names)))} ====\n{file}")
    return "\n".join(out).encode()
