"""python3 packaging/cross/libcxx.py WHEEL...: writes libcxx.txt, the symbols
that a Mac's libc++ is known to have: those that published wheels for macOS 14
or older take from it, and not weakly. By hand, when the link of a Mac's program
misses a symbol: with more wheels.
"""

import pathlib
import re
import struct
import sys
import zipfile

import macho

HERE = pathlib.Path(__file__).resolve().parent
OLDEST_NEWER = (14, 1)  # a wheel made for this, or newer, shows nothing
FAT = 0xCAFEBABE
FILESYSTEM = "__ZNSt3__14__fs10filesystem"
ERROR = "St3__14__fs10filesystem16filesystem_error"
STRING = "__ZNSt3__112basic_stringIcNS_11char_traitsIcEENS_9allocatorIcEEE"
# What no wheel at hand takes; since when a Mac has it say libc++'s headers.
DOCUMENTED = {
    "std::filesystem, whole since macOS 10.15": {
        f"{FILESYSTEM}13__permissionsERKNS1_4pathENS1_5permsENS1_12perm_optionsE"
        "PNS_10error_codeE",
        *(f"__ZT{kind}N{ERROR}E" for kind in "IV"),
        *(f"__ZN{ERROR}{name}" for name in ("13__create_whatEi", "D1Ev")),
        f"{FILESYSTEM}14__read_symlinkERKNS1_4pathEPNS_10error_codeE",
        f"{FILESYSTEM}7__spaceERKNS1_4pathEPNS_10error_codeE"},
    "std::to_chars of floating point, since macOS 13.3": {
        "__ZNSt3__18to_charsEPcS0_d", "__ZNSt3__18to_charsEPcS0_f"},
    "std::string's first list of extern templates": {
        f"{STRING}21__grow_by_and_replaceEmmmmmmPKc"},
    "std::istream and std's exceptions, whole since the first libc++": {
        "__ZNSt13runtime_erroraSERKS_",
        "__ZNSt3__113basic_istreamIcNS_11char_traitsIcEEE7putbackEc",
        "__ZNSt3__112system_errorC2ENS_10error_codeERKNS_12basic_stringIcNS_11"
        "char_traitsIcEENS_9allocatorIcEEEE"}}


def slices(data):
    """The arm64 programs of a file, thin or of several processors."""
    if struct.unpack_from(">I", data)[0] == FAT:
        count = struct.unpack_from(">I", data, 4)[0]
        for n in range(count):
            cpu, _, offset, size, _ = struct.unpack_from(">5I", data, 8 + 20 * n)
            if cpu == macho.ARM64:
                yield data[offset:offset + size]
    elif struct.unpack_from("<2I", data) == (macho.MAGIC, macho.ARM64):
        yield data


def taken(wheel):
    """What a wheel's libraries take from libc++."""
    with zipfile.ZipFile(wheel) as packed:
        for name in packed.namelist():
            if not re.search(r"\.(so|dylib)$|/bin/", name):
                continue
            data = packed.read(name)
            for part in slices(data) if len(data) > 32 else ():
                made = macho.MachO(name, part)
                if made.minimum and made.minimum < OLDEST_NEWER:
                    yield from (s for s in made.undefined if s not in made.weak
                                and made.library_of(s) == "/usr/lib/libc++.1.dylib")


def main():
    by, seen = dict(DOCUMENTED), set().union(*DOCUMENTED.values())
    for wheel in sorted(map(pathlib.Path, sys.argv[1:])):
        new = set(taken(wheel)) - seen
        if new:
            by["taken by " + "-".join(wheel.name.split("-")[:2])] = new
            seen |= new
    out = ["# Of /usr/lib/libc++.1.dylib on every Mac from macOS 14 on, and how we know:\n"
           "# written by packaging/cross/libcxx.py.\n"]
    for source, symbols in by.items():
        out += [f"# {source}\n", *(f"{s}\n" for s in sorted(symbols))]
    (HERE / "libcxx.txt").write_text("".join(out))
    print(f"{len(seen)} symbols")


if __name__ == "__main__":
    main()
