"""Reads a Mach-O arm64 program: its load commands, what it takes from other
libraries, and its signature, whose hashes are computed anew.
"""

import hashlib
import pathlib
import struct

MAGIC, ARM64, EXECUTE = 0xFEEDFACF, 0x0100000C, 2
LC_SYMTAB, LC_LOAD_DYLIB, LC_ID_DYLIB, LC_RPATH = 0x2, 0xC, 0xD, 0x8000001C
LC_LOAD_WEAK, LC_REEXPORT, LC_CODE_SIGNATURE = 0x80000018, 0x8000001F, 0x1D
LC_BUILD_VERSION, LC_SEGMENT_64 = 0x32, 0x19
LC_MAIN, LC_DYLD_INFO, LC_LOADER, LC_UUID = 0x80000028, 0x80000022, 0xE, 0x1B
N_WEAK_REF = 0x40
MH_TWOLEVEL, MH_PIE, PAGE, WRITE, RUN = 0x80, 0x200000, 0x4000, 2, 4
CSMAGIC_EMBEDDED, CSMAGIC_DIRECTORY = 0xFADE0CC0, 0xFADE0C02
CS_ADHOC, SHA256 = 0x2, 2


class Wrong(Exception):
    """What a Mac would refuse."""


def text_at(data, offset):
    return data[offset:data.index(b"\0", offset)].decode()


class MachO:
    """dylibs: (name, ...) in the order that symbols count them; rpaths;
    undefined: name -> number of its library, weak: those that may be absent;
    segments: name -> (address,
    size, offset, size in the file, protection)."""

    def __init__(self, path, data=None):
        self.data = data or pathlib.Path(path).read_bytes()
        magic, cpu, _, self.kind, count, size, self.flags = struct.unpack_from(
            "<7I", self.data)
        if (magic, cpu) != (MAGIC, ARM64):
            raise Wrong(f"{path}: not Mach-O arm64: {magic:x} {cpu:x}")
        self.dylibs, self.rpaths, self.segments = [], [], {}
        self.exports, self.undefined, self.weak = set(), {}, set()
        self.signature = self.minimum = self.name = None
        self.fixups = self.loader = self.uuid = None
        self.has_main = False
        offset, end = 32, 32 + size
        for _ in range(count):
            command, length = struct.unpack_from("<2I", self.data, offset)
            if length < 8 or offset + length > end:
                raise Wrong("a load command reaches over the end of them all")
            self.read_command(command, offset)
            offset += length

    def read_command(self, command, offset):
        def words(n, skip=8):
            return struct.unpack_from(f"<{n}I", self.data, offset + skip)
        if command in (LC_LOAD_DYLIB, LC_LOAD_WEAK, LC_REEXPORT):
            self.dylibs.append(text_at(self.data, offset + words(1)[0]))
        elif command == LC_ID_DYLIB:
            self.name = text_at(self.data, offset + words(1)[0])
        elif command == LC_RPATH:
            self.rpaths.append(text_at(self.data, offset + words(1)[0]))
        elif command == LC_CODE_SIGNATURE:
            self.signature = words(2)
        elif command == LC_BUILD_VERSION:
            platform, minimum = words(2)
            if platform != 1:
                raise Wrong(f"built for platform {platform}, not macOS (1)")
            self.minimum = (minimum >> 16, minimum >> 8 & 255)
        elif command == LC_SEGMENT_64:
            name = self.data[offset + 8:offset + 24].rstrip(b"\0").decode()
            address, size, start, length = struct.unpack_from(
                "<4Q", self.data, offset + 24)
            self.segments[name] = (address, size, start, length, words(2, 56))
        elif command == LC_DYLD_INFO:
            self.fixups = words(10)
        elif command == LC_LOADER:
            self.loader = text_at(self.data, offset + words(1)[0])
        elif command == LC_UUID:
            self.uuid = self.data[offset + 8:offset + 24]
        elif command == LC_MAIN:
            self.has_main = True
        elif command == LC_SYMTAB:
            self.read_symbols(*words(4))

    def read_symbols(self, offset, count, strings, _):
        for n in range(count):
            name, kind, _, described, value = struct.unpack_from(
                "<IBBHQ", self.data, offset + 16 * n)
            if kind & 0xE0 or not kind & 1:
                continue  # for debuggers, or its own
            text = text_at(self.data, strings + name)
            if kind & 0xE == 0 and value == 0:
                self.undefined[text] = described >> 8
                if described & N_WEAK_REF:
                    self.weak.add(text)
            else:
                self.exports.add(text)

    def library_of(self, symbol):
        """The library that a symbol is looked for in, or None: in all."""
        number = self.undefined[symbol]
        return self.dylibs[number - 1] if 0 < number <= len(self.dylibs) else None

    def check_program(self, oldest):
        """Wrong, unless it is a program that starts where macOS `oldest` runs."""
        if self.kind != EXECUTE or not self.flags & MH_PIE:
            raise Wrong(f"no position independent program: {self.flags:x}")
        if not self.flags & MH_TWOLEVEL:
            raise Wrong("its symbols name no libraries")
        if self.minimum != oldest:
            raise Wrong(f"made for macOS {self.minimum}, not {oldest}")
        if not self.has_main or self.loader != "/usr/lib/dyld":
            raise Wrong("no entry point, or no loader that starts there")
        if not self.uuid or not any(self.uuid):
            raise Wrong("no LC_UUID: newer loaders want one")
        if self.segments.get("__PAGEZERO", (0, 0))[:2] != (0, 1 << 32):
            raise Wrong("the lowest 4 GiB of addresses are not kept free")
        if len(set(self.rpaths)) != len(self.rpaths):
            raise Wrong("a run path stands twice: newer loaders refuse it")
        end = 0
        for name, (address, size, start, length, (most, _)) in self.segments.items():
            if address % PAGE or (length and start % PAGE) or address < end:
                raise Wrong(f"{name} does not begin on a page of its own")
            if start + length > len(self.data):
                raise Wrong(f"{name} reaches over the end of the file")
            if most & WRITE and most & RUN:
                raise Wrong(f"{name} may be written and run")
            end = address + size

    def check_signature(self):
        """Wrong, unless an ad-hoc signature covers every byte before it and
        its hashes are those of the bytes; the number of pages."""
        if self.signature is None:
            raise Wrong("no signature: Macs with Apple silicon refuse it")
        offset, size = self.signature
        blob = self.data[offset:offset + size]
        magic, length, count = struct.unpack_from(">3I", blob)
        if magic != CSMAGIC_EMBEDDED or length > len(blob):
            raise Wrong(f"not a signature: {magic:x}")
        if offset + size != len(self.data):
            raise Wrong("bytes behind the signature")
        for n in range(count):
            _, start = struct.unpack_from(">2I", blob, 12 + 8 * n)
            if struct.unpack_from(">I", blob, start)[0] == CSMAGIC_DIRECTORY:
                return self.check_directory(blob[start:], offset)
        raise Wrong("a signature without hashes")

    def check_directory(self, blob, limit):
        (_, _, _, flags, hashes, _, _, slots, covered, hash_size, hash_kind, _,
         page_bits) = struct.unpack_from(">9I4B", blob)
        if not flags & CS_ADHOC:
            raise Wrong(f"not signed ad hoc: flags {flags:x}")
        if (hash_size, hash_kind) != (32, SHA256):
            raise Wrong(f"hashes of kind {hash_kind}")
        page = 1 << page_bits
        if covered != limit or slots != -(-covered // page):
            raise Wrong(f"{covered} of {limit} bytes are signed, {slots} pages")
        for n in range(slots):
            part = self.data[n * page:min((n + 1) * page, covered)]
            place = hashes + n * hash_size
            if hashlib.sha256(part).digest() != blob[place:place + hash_size]:
                raise Wrong(f"page {n} is not what was signed")
        return slots
