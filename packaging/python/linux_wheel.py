"""The wheel of a program for Linux. readelf tells what it needs of a system,
and so the tag.
"""

import re
import subprocess
import sys

import backend
import notices

MACHINES = {"Advanced Micro Devices X86-64": ("x86_64", "amd64"),
            "AArch64": ("aarch64", "arm64")}
# What every Linux with that C library has, besides the C library itself.
SYSTEM_LIBRARIES = re.compile(
    r"(libc|libm|libdl|libpthread|librt|libstdc\+\+|libgcc_s|ld-linux.*)\.so.*")


def fail(what, hint):
    sys.exit(f"error: {what}\nhint: {hint}")


def readelf(*arguments):
    return subprocess.run(["readelf", "-W", *map(str, arguments)], check=True,
                          capture_output=True, text=True).stdout


def machine_of(program):
    return MACHINES[re.search(r"Machine:\s+(.*)", readelf("-h", program))[1]]


def needed(program):
    return re.findall(r"\(NEEDED\).*\[(.*)\]", readelf("-d", program))


def newest(program, family):
    """The newest version of a family of symbols that a program needs."""
    found = re.findall(rf"Name: {family}_([\d.]+)\s", readelf("-V", program))
    return max(([int(n) for n in v.split(".")] for v in found), default=[0])


def glibc_of(program, libmlx):
    """The C library that both need, as 'N' of 2.N; wrong links end here."""
    wrong = [n for n in needed(program)
             if n != "libmlx.so" and not SYSTEM_LIBRARIES.fullmatch(n)]
    if wrong:
        fail(f"{program} needs {', '.join(wrong)}",
             "link archives: cmake --build --target rapid-mlx-portable")
    # manylinux promises libstdc++ of gcc 12 with glibc 2.35: GLIBCXX_3.4.30.
    if max(newest(program, "GLIBCXX"), newest(libmlx, "GLIBCXX")) > [3, 4, 30]:
        fail("a newer libstdc++ than manylinux has is needed", "use gcc 12")
    return max(newest(program, "GLIBC"), newest(libmlx, "GLIBC"))[1]


def notices_of(program, libmlx):
    cpu, _ = machine_of(program)
    return notices.text(libmlx, f"{cpu}-unknown-linux-gnu", notices.debian_files())


def make(program, libmlx, speaker, folder):
    """Into folder; speaker: the words that run the program here."""
    cpu, _ = machine_of(program)
    minor = max(glibc_of(program, libmlx), 35)
    wheel = backend.Wheel(f"manylinux_2_{minor}_{cpu}", "Linux")
    wheel.add_program(program, backend.printed(speaker, libmlx.parent),
                      notices_of(program, libmlx))
    return wheel.write(folder)
