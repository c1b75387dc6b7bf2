"""The wheels of other platforms against the one of this machine: the same
files, the right tags; the Mac's program read as a Mac would read it, the arm64
one run under qemu. What is wrong raises AssertionError.
"""

import base64
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

import backend
import darwin
import linux
import macho

QUESTION = "What is the capital city of France? Answer in one sentence.\n/exit\n"


def names(wheel):
    """Every file, each as RECORD says."""
    with zipfile.ZipFile(wheel) as packed:
        listed = sorted(packed.namelist())
        record = next(n for n in listed if n.endswith(".dist-info/RECORD"))
        for row in packed.read(record).decode().strip().split("\n"):
            name, digest, _ = row.split(",")
            if name != record:
                found = hashlib.sha256(packed.read(name)).digest()
                found = base64.urlsafe_b64encode(found).decode().rstrip("=")
                assert digest == f"sha256={found}", f"{wheel.name}: {name}"
    return listed


def check_texts(wheel, system):
    """Its tag is that of its name; it wants the MLX of its system, and tells
    the licences of what is in it."""
    tag = wheel.stem.split("-", 2)[2]
    with zipfile.ZipFile(wheel) as packed:
        info = f"rapid_mlx-{backend.version()}.dist-info"
        assert f"\nTag: {tag}\n" in packed.read(f"{info}/WHEEL").decode(), tag
        wanted = re.findall(r"^Requires-Dist: (.*)$",
                            packed.read(f"{info}/METADATA").decode(), re.M)
        assert wanted == backend.requirements(system), wanted
        notices = packed.read(f"{info}/licenses/NOTICES").decode()
        for name in ("(OpenSSL|libssl)", "(lib)?yaml-cpp", "zlib", "mlx",
                     "(.*, )?tokenizers"):
            assert re.search(f"^==== {name}", notices, re.M), f"no {name}"


def install(wheel, platform, target):
    """Laid out by pip as on that platform, without MLX."""
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps",
         "--no-compile", "--disable-pip-version-check", "--only-binary=:all:",
         "--platform", platform, "--target", target, wheel], check=True,
        env={**os.environ, "PIP_ROOT_USER_ACTION": "ignore"})
    program = target / "bin/rapid-mlx"
    assert program.stat().st_mode & 0o111, "not executable"
    return program


def said(words, text="", **environment):
    done = subprocess.run([str(w) for w in words], input=text.encode(),
                          capture_output=True, timeout=900,
                          env={"PATH": "/usr/bin:/bin", **environment})
    assert done.returncode == 0, f"{words}: {done.returncode} {done.stderr}"
    return done.stdout.decode()


def check_mac(wheel, own, cross, work):
    assert names(wheel) == names(own), set(names(wheel)) ^ set(names(own))
    check_texts(wheel, "Darwin")
    # A Mac newer than the tag takes it, too.
    program = install(wheel, "macosx_15_0_arm64", work)
    folder = cross / "macosx_arm64"
    told = darwin.check(program, folder, cross)
    # Macs look for libmlx where pip puts it: beside the program's folder.
    libmlx = macho.MachO(folder / "wheel/mlx/lib/libmlx.dylib")
    assert libmlx.name == "@rpath/libmlx.dylib", libmlx.name
    for minor in range(10, 15):
        place = f"@loader_path/../lib/python3.{minor}/site-packages/mlx/lib"
        assert place in macho.MachO(program).rpaths, place
    return told


def check_arm(wheel, own, cross, work, native, home):
    """native: the words that run this machine's program. home: its models."""
    assert names(wheel) == names(own), set(names(wheel)) ^ set(names(own))
    check_texts(wheel, "Linux")
    program = install(wheel, "manylinux_2_35_aarch64", work)
    for name in ("mlx", "mlx_cpu.libs"):
        shutil.copytree(cross / "manylinux_aarch64/wheel" / name, work / name,
                        ignore=shutil.ignore_patterns("include", "*.py"))
    arm = linux.qemu(program)
    environment = {"RAPID_MLX_HOME": str(home), "HOME": str(work)}
    case = '<tool_call>{"name": "f", "arguments": {"x": 1}}</tool_call>'
    same = [(["version"], ""), (["parse", "--format", "hermes", "--events"], case),
            (["models", "--json"], ""),
            (["chat", "smollm2-135m", "--exact", "--temperature", "0",
              "--max-tokens", "16"], QUESTION)]
    for words, text in same:
        ours = said(arm + words, text, **environment)
        theirs = said(native + words, text, **environment)
        assert ours == theirs, f"{words}: {ours!r}, here {theirs!r}"
    return f"under qemu the same answers as here: {theirs.strip()!r}"


def check_all(dist, cross, work, native, home):
    """Lines of what was found, for each wheel that is there."""
    own = backend.wheel_of(dist, "x86_64")
    mac, arm = (backend.wheel_of(dist, n) for n in ("macosx_*arm64", "aarch64"))
    if mac:
        yield f"{mac.name}: {check_mac(mac, own, cross, work / 'mac')}"
    if arm:
        yield (f"{arm.name}: "
               f"{check_arm(arm, own, cross, work / 'arm', native, home)}")
