"""What a program for Linux on arm64 is made with: Debian's cross compiler and
the archives of Debian's arm64 packages, the same as in the x86-64 program.
"""

import shutil

import fetch
import libraries
import linux_wheel

RUST_TARGET = "aarch64-unknown-linux-gnu"
ARCHIVES = {
    "libssl-dev": ["crypto", "ssl"], "libsqlite3-dev": ["sqlite3"],
    "libyaml-cpp-dev": ["yaml-cpp"], "libedit-dev": ["edit"],
    "libbsd-dev": ["bsd"], "libmd-dev": ["md"], "libncurses-dev": ["tinfo"],
    "libminizip-dev": ["minizip"], "zlib1g-dev": ["z"],
}
# Where Debian's cross compiler has the libraries that programs start with.
SYSROOT = "/usr/aarch64-linux-gnu"


def prepare(folder, cross, mlx):
    """Everything but the program, in folder; cross is shared by platforms.
    name -> version of what it contains."""
    if not shutil.which("aarch64-linux-gnu-g++"):
        raise fetch.Missing("there is no aarch64-linux-gnu-g++",
                            "tools/setup --neon")
    fetch.rust_std(RUST_TARGET)
    fetch.wheels(folder / "wheel", "manylinux_2_35_aarch64", f"mlx=={mlx}",
                 f"mlx-cpu=={mlx}")
    root = folder / "root"
    versions = fetch.Debian(cross / "apt").archives(ARCHIVES, root)
    made = libraries.Libraries(folder)
    made.headers()
    places = [root / "usr/lib/aarch64-linux-gnu", root / "usr/lib"]
    for package, names in ARCHIVES.items():
        for name in names:
            found = [p / f"lib{name}.a" for p in places
                     if (p / f"lib{name}.a").is_file()]
            if not found:
                raise fetch.Missing(f"no lib{name}.a in {package}:arm64",
                                    "look at ARCHIVES in packaging/cross/linux.py")
            shutil.copy(found[0], made.lib)
    headers = root / "usr/include"
    for name in ("histedit.h", "minizip", "sqlite3.h", "yaml-cpp", "zconf.h",
                 "zlib.h"):
        own = headers / "aarch64-linux-gnu" / name
        made.link(name, own if own.exists() else headers / name)
    place = made.include / "openssl"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(headers / "openssl", place)
    shutil.copytree(headers / "aarch64-linux-gnu/openssl", place,
                    dirs_exist_ok=True)
    return versions


def refresh(folder):
    """Nothing there depends on more than prepare()."""


def qemu(program):
    """The words that run an arm64 program here."""
    if not shutil.which("qemu-aarch64-static"):
        raise fetch.Missing("there is no qemu-aarch64-static", "tools/setup --neon")
    return ["qemu-aarch64-static", "-L", SYSROOT, program]


def wheel(program, folder, cross, out, native):
    """Into out; the program prints its manual itself, under qemu."""
    libmlx = folder / "wheel/mlx/lib/libmlx.so"
    return linux_wheel.make(program, libmlx, qemu(program), out)
