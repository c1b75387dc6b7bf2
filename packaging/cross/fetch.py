"""Fetches what another platform's program is made of, with the clients of
package registries: crates by cargo, sources and arm64 archives by apt, wheels
by pip. Crates are pinned by Cargo.lock, the others by PINS. A source that
can't be had raises Missing with what to do.
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
DEBIAN = "bookworm"
KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
# How the version of each of Debian's packages begins.
PINS = {
    # sources
    "yaml-cpp": "0.7.0", "minizip": "1.1-",
    # archives
    "libssl-dev": "3.0.", "libsqlite3-dev": "3.40.1", "libyaml-cpp-dev": "0.7.0",
    "libedit-dev": "3.1-20221030", "libbsd-dev": "0.11.7", "libmd-dev": "1.0.4",
    "libncurses-dev": "6.4", "libminizip-dev": "1.1-", "zlib1g-dev": "1:1.2.13",
}
ZIG = "0.14.1"


class Missing(Exception):
    """What is not to be had, and a hint."""

    def __init__(self, what, hint):
        super().__init__(what)
        self.hint = hint


def run(*words, **options):
    try:
        done = subprocess.run([str(w) for w in words], capture_output=True,
                              text=True, **options)
    except FileNotFoundError as error:
        raise Missing(f"there is no {words[0]}", "docs/BUILD.md lists what a "
                      "build needs") from error
    if done.returncode:
        told = (done.stdout + done.stderr).strip().split("\n")
        raise Missing(f"{' '.join(map(str, words[:3]))}: " + "\n".join(told[-15:]),
                      "its reason stands above")
    return done.stdout


def crates():
    """name -> folder of the sources that Cargo.lock pins."""
    manifest = HERE / "Cargo.toml"
    try:
        run("cargo", "fetch", "--locked", "--manifest-path", manifest)
        told = run("cargo", "metadata", "--format-version", "1", "--locked",
                   "--offline", "--manifest-path", manifest)
    except Missing as error:
        raise Missing(f"no crates of packaging/cross/Cargo.lock: {error}",
                      "cargo must reach its registry once") from error
    return {p["name"]: pathlib.Path(p["manifest_path"]).parent
            for p in json.loads(told)["packages"]}


def rust_std(target):
    """Rust's standard library for target, of the compiler that is in use."""
    root = pathlib.Path(run("rustc", "--print", "sysroot").strip())
    if (root / "lib/rustlib" / target / "lib").is_dir():
        return
    hint = f"rustup target add {target}, where its server can be reached"
    if not shutil.which("rustup"):
        raise Missing(f"rustc has no standard library for {target}", hint)
    try:
        run("rustup", "target", "add", target)
    except Missing as error:
        raise Missing(f"no standard library of Rust for {target}: {error}",
                      hint) from error


class Debian:
    """Sources and arm64 packages, through an apt that has a state of its own:
    the machine's stays as it is. The mirrors are those of the machine."""

    def __init__(self, folder):
        if not shutil.which("apt-get"):
            raise Missing("there is no apt-get", "this works on Debian 12")
        self.folder = folder
        for part in ("lists/partial", "cache/archives/partial", "got"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        places = run("apt-get", "indextargets", "--format",
                     "$(CREATED_BY) $(REPO_URI) $(CODENAME) $(COMPONENT)")
        lines = set()
        for place in places.split("\n"):
            kind, *rest = place.split() or [""]
            if kind == "Packages" and rest[1].split("-")[0] == DEBIAN:
                lines |= {f"{deb} [signed-by={KEYS}] {' '.join(rest)}\n"
                          for deb in ("deb", "deb-src")}
        if not lines:
            raise Missing(f"apt knows no mirror of Debian {DEBIAN}",
                          f"packaging/cross/fetch.py is written for {DEBIAN}")
        (folder / "sources.list").write_text("".join(sorted(lines)))
        (folder / "apt.conf").write_text(
            f'Dir::State "{folder}"; Dir::State::status "{folder}/status";\n'
            f'Dir::Cache "{folder}/cache"; Dir::Etc::sourceparts "-";\n'
            f'Dir::Etc::sourcelist "{folder}/sources.list";\n'
            'APT::Architecture "arm64"; APT::Architectures { "arm64"; };\n'
            'APT::Sandbox::User "root";\n')
        self.apt("update", "-qq")

    def apt(self, *words):
        return run("apt-get", *words, cwd=self.folder / "got",
                   env={"APT_CONFIG": str(self.folder / "apt.conf"),
                        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})

    def check(self, name, version):
        if not version.startswith(PINS[name]):
            raise Missing(f"Debian has {name} {version}, not {PINS[name]}*",
                          "look at what changed, then at PINS in "
                          "packaging/cross/fetch.py")

    def source(self, name, target):
        """The patched sources of a package in target, and its version."""
        self.apt("source", "-qq", "--download-only", name)
        described = sorted((self.folder / "got").glob(f"{name}_*.dsc"))[-1]
        version = re.search(r"^Version: (\S+)$", described.read_text(), re.M)[1]
        self.check(name, version)
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        run("dpkg-source", "--extract", "--no-check", "--no-copy", described,
            target)
        return version

    def archives(self, names, root):
        """arm64 packages unpacked into root; name -> version."""
        versions = {}
        for name in names:
            self.apt("download", "-qq", name)
            package = sorted((self.folder / "got").glob(f"{name}_*.deb"))[-1]
            versions[name] = run("dpkg-deb", "-f", package, "Version").strip()
            self.check(name, versions[name])
            run("dpkg-deb", "-x", package, root)
        return versions


def wheels(target, platform, *requirements):
    """Wheels of PyPI for another platform, unpacked into target."""
    folder = target.with_name(target.name + ".wheels")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        run(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
            "--only-binary=:all:", "--python-version", "3.11", "--platform",
            platform, "-d", folder, *requirements)
    except Missing as error:
        raise Missing(f"no {', '.join(requirements)} for {platform}: {error}",
                      "pip must reach its registry once") from error
    for wheel in folder.glob("*.whl"):
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(target)
    shutil.rmtree(folder)


def zig(folder):
    """The program zig, out of its wheel; its mode is lost in unpacking."""
    program = folder / "ziglang/zig"
    if not program.is_file():
        # A wheel of this machine's own.
        wheels(folder, "manylinux_2_12_x86_64", f"ziglang=={ZIG}")
        program.chmod(0o755)
    return program
