"""What a program for a Mac with Apple silicon is made with: zig's clang and
linker, archives of the libraries that a Mac lacks, stubs of those it has.
"""

import pathlib
import re

import backend
import fetch
import fixups
import libraries
import macho
import notices

HERE = pathlib.Path(__file__).resolve().parent
RUST_TARGET = "aarch64-apple-darwin"
MACOS = "14.0"  # what MLX's wheel wants
# zig says that the C++ library is its own; its headers then take what a Mac's
# older one lacks.
LIBCXX = "-U_LIBCPP_HAS_NO_VENDOR_AVAILABILITY_ANNOTATIONS"


def stub(path, name, symbols):
    """A text stub of a library that every Mac has."""
    listed = ", ".join(f"'{s}'" for s in symbols)
    path.write_text(
        "--- !tapi-tbd\ntbd-version: 4\ntargets: [ arm64-macos ]\n"
        f"install-name: '{name}'\nexports:\n"
        f"  - targets: [ arm64-macos ]\n    symbols: [ {listed} ]\n...\n")


def symbols(name):
    """The symbols of a list beside this file; '#' begins a remark."""
    lines = (HERE / name).read_text().split("\n")
    return [line for line in lines if line and not line.startswith("#")]


def refresh(folder):
    """What a change of a list of symbols changes."""
    lib = folder / "lib"
    stub(lib / "libc++.tbd", "/usr/lib/libc++.1.dylib", symbols("libcxx.txt"))
    stub(lib / "libedit.tbd", "/usr/lib/libedit.3.dylib", symbols("libedit.txt"))


# Rust's linker: of the crates only llguidance wants one, for a shared library
# of itself beside the archive, which nobody uses. It stays empty.
RUST_LINKER = """while [ $# -gt 0 ]; do
  [ "$1" != -o ] || : > "$2"
  shift
done
"""


def prepare(folder, cross, mlx):
    """Everything but the program, in folder; cross is shared by platforms.
    name -> version of what Debian gave."""
    zig = fetch.zig(cross / "zig")
    target = f"-target aarch64-macos.{MACOS} -g0"
    for name, flags in (("cc", target), ("c++", f"{target} {LIBCXX}"),
                        ("ar", ""), ("ranlib", "")):
        # The version is for ccache, to which the script is the compiler.
        libraries.script(folder / "bin" / name, f"# zig {fetch.ZIG}\n"
                         f'exec "{zig}" {name} {flags} "$@"\n')
    libraries.script(folder / "bin/ld", RUST_LINKER)
    fetch.rust_std(RUST_TARGET)
    fetch.wheels(folder / "wheel", f"macosx_{MACOS.replace('.', '_')}_arm64",
                 f"mlx=={mlx}", f"mlx-metal=={mlx}")
    crates = fetch.crates()
    debian = fetch.Debian(cross / "apt")
    minizip, yaml = cross / "src/minizip", cross / "src/yaml-cpp"
    versions = {p.name: debian.source(p.name, p) for p in (minizip, yaml)}
    made = libraries.Libraries(folder)
    made.headers()
    made.link("histedit.h", pathlib.Path("/usr/include/histedit.h"))
    openssl = crates["openssl-src"] / "openssl"
    sqlite = crates["libsqlite3-sys"] / "sqlite3"
    zlib = crates["libz-sys"] / "src/zlib"
    made.zlib(zlib)
    made.minizip(minizip)
    made.sqlite(sqlite)
    made.yaml(yaml)
    made.openssl(openssl, "darwin64-arm64-cc")
    return versions


def licences(cross):
    """name -> file, of what is linked in; the headers are Debian's."""
    crates = fetch.crates()
    debian = notices.debian_files()
    names = ["libfmt-dev", "libspdlog-dev", "libboost1.81-dev",
             "nlohmann-json3-dev", "libcli11-dev", "libtomlplusplus-dev",
             "libsqlite3-dev"]
    return {
        "OpenSSL": crates["openssl-src"] / "openssl/LICENSE.txt",
        "zlib": crates["libz-sys"] / "src/zlib/LICENSE",
        "minizip": cross / "src/minizip/debian/copyright",
        "yaml-cpp": cross / "src/yaml-cpp/LICENSE",
        "zig and its compiler-rt": cross / "zig/ziglang/LICENSE",
        **{name: debian[name] for name in names if name in debian}}


def offered(stub_file):
    """The symbols that a text stub, or the several in one file, offers."""
    text = stub_file.read_text()
    blocks = re.findall(
        r"targets:\s*\[([^\]]*)\]\s*symbols:\s*\[([^\]]*)\]"
        r"(?:\s*weak-symbols:\s*\[([^\]]*)\])?", text)
    return {name.strip().strip("'\"") for targets, *lists in blocks
            if "arm64-macos" in targets for part in lists
            for name in part.split(",")} - {""}


def check(program, folder, cross):
    """What a Mac would refuse raises macho.Wrong; a line that says what was
    found."""
    system = cross / "zig/ziglang/lib/libc/darwin/libSystem.tbd"
    libmlx = macho.MachO(folder / "wheel/mlx/lib/libmlx.dylib")
    offers = {"/usr/lib/libSystem.B.dylib": offered(system),
              "/usr/lib/libc++.1.dylib": offered(folder / "lib/libc++.tbd"),
              "/usr/lib/libedit.3.dylib": offered(folder / "lib/libedit.tbd"),
              "@rpath/libmlx.dylib": libmlx.exports}
    made = macho.MachO(program)
    made.check_program(tuple(int(n) for n in MACOS.split(".")))
    lacking = [d for d in made.dylibs if d not in offers]
    if lacking:
        raise macho.Wrong(f"needs what a Mac may lack: {lacking}")
    if not made.rpaths or [r for r in made.rpaths
                           if not r.startswith("@loader_path/")]:
        raise macho.Wrong(f"run paths: {made.rpaths}")
    nowhere = [s for s in made.undefined
               if s not in offers.get(made.library_of(s), ())]
    if nowhere:
        raise macho.Wrong(f"{len(nowhere)} symbols that no library has: "
                          f"{nowhere[:20]}")
    moved, bound = fixups.check(made, offers)
    pages = made.check_signature()
    return (f"Mach-O arm64 for macOS {MACOS}, {len(made.undefined)} symbols of "
            f"{len(made.dylibs)} libraries found, {moved} pointers to move and "
            f"{bound} to fill, {pages} signed pages")


def wheel(program, folder, cross, out, native):
    """Into out. native: a program of this machine, which prints the manual, and
    the folder of its libmlx."""
    print(f"{program.name}: {check(program, folder, cross)}")
    made = backend.Wheel(f"macosx_{MACOS.replace('.', '_')}_arm64", "Darwin")
    texts = backend.printed([native[0]], native[1])
    libmlx = folder / "wheel/mlx/lib/libmlx.dylib"
    made.add_program(program, texts,
                     notices.text(libmlx, RUST_TARGET, licences(cross)))
    return made.write(out)
