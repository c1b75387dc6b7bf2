"""packaging/cross/macho.py and fixups.py refuse what a Mac would refuse."""

import hashlib
import struct
import sys
import tempfile
import pathlib
import unittest

import tree

sys.path.insert(0, str(tree.ROOT / "packaging/cross"))
sys.dont_write_bytecode = True
import fixups  # noqa: E402
import macho  # noqa: E402

PAGE = 0x4000
BASE = 1 << 32
DATA = BASE + PAGE
SYSTEM, MLX = "/usr/lib/libSystem.B.dylib", "@rpath/libmlx.dylib"
OFFERS = {SYSTEM: {"_open"}, MLX: {"_mlx_add"}}
# Segment 2 from its byte 16 on: a pointer of the program's own.
MOVED = b"\x11\x22\x10\x51\0"
# Its bytes 0 and 8.
BOUND = b"\x51\x72\0\x12\x40_mlx_add\0\x90\x11\x40_open\0\x90\0"


def string_command(kind, text):
    text = text.encode() + b"\0"
    # A dylib's command has four words before its name, a run path's one.
    before = 16 if kind == macho.LC_LOAD_DYLIB else 4  # a loader's one, too
    size = -(-(8 + before + len(text)) // 8) * 8
    head = struct.pack("<3I", kind, size, 8 + before) + bytes(before - 4)
    return (head + text).ljust(size, b"\0")


def segment(name, address, size, offset, length, most):
    return struct.pack("<2I16s4Q4I", macho.LC_SEGMENT_64, 72, name.encode(),
                       address, size, offset, length, most, most, 0, 0)


def signature(data):
    pages = [data[n:n + PAGE] for n in range(0, len(data), PAGE)]
    hashes = b"".join(hashlib.sha256(p).digest() for p in pages)
    directory = struct.pack(
        ">9I4B", macho.CSMAGIC_DIRECTORY, 44 + len(hashes), 0x20400,
        macho.CS_ADHOC, 44, 0, 0, len(pages), len(data), 32, macho.SHA256, 0,
        14) + b"\0" * 4 + hashes
    return struct.pack(">5I", macho.CSMAGIC_EMBEDDED, 20 + len(directory), 1, 0,
                       20) + directory


def program(*, symbols=((b"_mlx_add", 2), (b"_open", 1)), minimum=0xE0000,
            most=5, signed=True, flags=0x200085, moved=MOVED, bound=BOUND,
            weak=b"", held=BASE, paths=1, uuid=b"u" * 16):
    """A Mach-O arm64 program without code, of three pages."""
    strings, table = b"\0", b""
    for name, library in symbols:
        table += struct.pack("<IBBHQ", len(strings), 1, 0, library << 8, 0)
        strings += name + b"\0"
    infos = 2 * PAGE + len(table) + len(strings)
    limit = 3 * PAGE
    size = len(signature(bytes(limit))) if signed else 0
    commands = [
        segment("__PAGEZERO", 0, BASE, 0, 0, 0),
        segment("__TEXT", BASE, PAGE, 0, PAGE, most),
        segment("__DATA", DATA, PAGE, PAGE, PAGE, 3),
        segment("__LINKEDIT", DATA + PAGE, 2 * PAGE, 2 * PAGE, PAGE + size, 1),
        struct.pack("<12I", macho.LC_DYLD_INFO, 48, infos, len(moved),
                    infos + len(moved), len(bound),
                    infos + len(moved) + len(bound), len(weak), *[0] * 4),
        struct.pack("<2I", macho.LC_UUID, 24) + uuid,
        string_command(macho.LC_LOADER, "/usr/lib/dyld"),
        struct.pack("<6I", macho.LC_BUILD_VERSION, 24, 1, minimum, minimum, 0),
        struct.pack("<2I2Q", macho.LC_MAIN, 24, 0, 0),
        string_command(macho.LC_LOAD_DYLIB, SYSTEM),
        string_command(macho.LC_LOAD_DYLIB, MLX),
        *[string_command(macho.LC_RPATH, "@loader_path/../mlx/lib")] * paths,
        struct.pack("<6I", macho.LC_SYMTAB, 24, 2 * PAGE, len(symbols),
                    2 * PAGE + len(table), len(strings))]
    if signed:
        commands.append(struct.pack("<4I", macho.LC_CODE_SIGNATURE, 16, limit, size))
    text = b"".join(commands)
    data = struct.pack("<8I", macho.MAGIC, macho.ARM64, 0, macho.EXECUTE,
                       len(commands), len(text), flags, 0) + text
    data = data.ljust(PAGE + 16, b"\0") + struct.pack("<Q", held)
    data = data.ljust(2 * PAGE, b"\0") + table + strings + moved + bound + weak
    data = data.ljust(limit, b"\0")
    return data + signature(data) if signed else data


class Macho(unittest.TestCase):
    def read(self, data):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "program"
            path.write_bytes(data)
            return macho.MachO(path)

    def refused(self, why, data):
        with self.assertRaisesRegex(macho.Wrong, why):
            made = self.read(data)
            made.check_program((14, 0))
            made.check_signature()
            fixups.check(made, OFFERS)

    def test_a_right_one(self):
        made = self.read(program())
        made.check_program((14, 0))
        self.assertEqual(made.check_signature(), 3)
        self.assertEqual(fixups.check(made, OFFERS), (1, 2))
        self.assertEqual(made.rpaths, ["@loader_path/../mlx/lib"])
        self.assertEqual(made.library_of("_mlx_add"), "@rpath/libmlx.dylib")
        self.assertEqual(made.library_of("_open"), "/usr/lib/libSystem.B.dylib")

    def test_what_a_mac_refuses(self):
        self.refused("no signature", program(signed=False))
        self.refused("not Mach-O", b"\x7fELF" + bytes(100))
        self.refused("macOS", program(minimum=0xF0000))
        self.refused("written and run", program(most=7))
        self.refused("position independent", program(flags=0x85))
        self.refused("no LC_UUID", program(uuid=bytes(16)))
        self.refused("stands twice", program(paths=2))

    def test_what_the_loader_writes(self):
        segments = [(0, BASE), (BASE, PAGE), (DATA, PAGE)]
        self.assertEqual(list(fixups.binds(BOUND, segments)),
                         [(DATA, "_mlx_add", 2), (DATA + 8, "_open", 1)])
        skipping = b"\x11\x22\0\x82\x02\x08\x41\x51\0"
        self.assertEqual(list(fixups.rebases(skipping, segments)),
                         [DATA, DATA + 16, DATA + 40])
        lazy = b"\x72\x08\x11\x40_open\0\x90\0\x72\x10\x40_shut\0\x90\0"
        self.assertEqual(
            [n for _, n, _ in fixups.binds(lazy, segments, lazy=True)],
            ["_open", "_shut"])

    def test_names_that_a_program_offers(self):
        # "_", then "a" with "bc" behind it, or "b".
        trie = (b"\0\1_\0\5" b"\0\2a\0\x0db\0\x19"
                b"\2\0\0\1bc\0\x15" b"\2\0\0\0" b"\2\0\0\0")
        self.assertEqual(sorted(fixups.exports(trie)), ["_a", "_abc", "_b"])
        self.assertEqual(list(fixups.exports(b"")), [])
        for broken in (trie[:-1], trie.replace(b"\x15", b"\0")):
            with self.assertRaises(macho.Wrong):
                list(fixups.exports(broken))

    def test_fixups_that_end_a_program(self):
        self.refused("may not be", program(bound=BOUND.replace(b"\x72", b"\x71")))
        self.refused("may not be", program(moved=b"\x11\x22\x81\x80\x01\x51\0"))
        self.refused("_open is not in @rpath", program(
            bound=BOUND.replace(b"\x11", b"\x12")))
        self.refused("of no library", program(bound=BOUND.replace(b"\x11", b"\x10")))
        self.refused("holds 20, no place", program(held=32))
        self.refused("unknown bind", program(bound=b"\xd0"))
        # What nobody offers is right where the program has its own.
        fixups.check(self.read(program(weak=b"\x51\x40_z\0\x72\x10\x90\0")), OFFERS)
        self.refused("_z is nowhere", program(weak=b"\x51\x40_z\0\x72\0\x90\0"))

    def test_bytes_changed_after_signing(self):
        data = bytearray(program())
        data[PAGE + 7] ^= 1
        self.refused("page 1 is not what was signed", bytes(data))
        self.refused("behind the signature", program() + b"\0" * 16)


if __name__ == "__main__":
    unittest.main()
