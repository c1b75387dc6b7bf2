"""What the loader of a Mac writes into a program before it starts, read as it
does: the places that get the address of a symbol (binds), and those moved with
the program (rebases). Out of LC_DYLD_INFO_ONLY.
"""

import struct

import macho

# The upper half of an opcode.
(BIND_DONE, BIND_ORDINAL, BIND_ORDINAL_ULEB, BIND_SPECIAL, BIND_NAME, BIND_TYPE,
 BIND_ADDEND, BIND_PLACE, BIND_ADD, BIND, BIND_ULEB, BIND_SCALED,
 BIND_TIMES) = range(13)
(REBASE_DONE, REBASE_TYPE, REBASE_PLACE, REBASE_ADD, REBASE_SCALED, REBASE_TIMES,
 REBASE_ULEB_TIMES, REBASE_ULEB, REBASE_SKIPPING) = range(9)
WHOLE = (1 << 64) - 1  # addresses wrap around


class Codes:
    """Opcodes and their numbers."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def __bool__(self):
        return self.at < len(self.data)

    def byte(self):
        if not self:
            raise macho.Wrong("fixups end in the middle")
        self.at += 1
        return self.data[self.at - 1]

    def uleb(self):
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def text(self):
        end = self.data.find(b"\0", self.at)
        if end < 0:
            raise macho.Wrong("fixups end in the middle")
        text = self.data[self.at:end].decode()
        self.at = end + 1
        return text


def binds(data, segments, lazy=False):
    """(address, symbol, number of its library or None) of each place. lazy:
    each has a list of its own."""
    codes, starts = Codes(data), [s[0] for s in segments]
    address, name, library = 0, None, None
    while codes:
        code, low = divmod(codes.byte(), 16)
        times, skip = 0, 0
        if code == BIND_DONE:
            if not lazy:
                return
        elif code == BIND_ORDINAL:
            library = low
        elif code == BIND_ORDINAL_ULEB:
            library = codes.uleb()
        elif code == BIND_NAME:
            name = codes.text()
        elif code == BIND_ADDEND:
            codes.uleb()
        elif code == BIND_PLACE:
            address = starts[low] + codes.uleb()
        elif code == BIND_ADD:
            address += codes.uleb()
        elif code == BIND_TIMES:
            times, skip = codes.uleb(), codes.uleb()
        elif code in (BIND, BIND_ULEB, BIND_SCALED):
            times = 1
            skip = {BIND: lambda: 0, BIND_ULEB: codes.uleb,
                    BIND_SCALED: lambda: 8 * low}[code]()
        elif code != BIND_TYPE or low != 1:
            raise macho.Wrong(f"unknown bind {code:x}{low:x}")
        for _ in range(times):
            yield address & WHOLE, name, library
            address = (address + 8 + skip) & WHOLE


def rebases(data, segments):
    """The address of each place."""
    codes, starts = Codes(data), [s[0] for s in segments]
    address = 0
    while codes:
        code, low = divmod(codes.byte(), 16)
        times, skip = 0, 0
        if code == REBASE_DONE:
            return
        if code == REBASE_PLACE:
            address = starts[low] + codes.uleb()
        elif code == REBASE_ADD:
            address += codes.uleb()
        elif code == REBASE_SCALED:
            address += 8 * low
        elif code == REBASE_TIMES:
            times = low
        elif code == REBASE_ULEB_TIMES:
            times = codes.uleb()
        elif code == REBASE_ULEB:
            times, skip = 1, codes.uleb()
        elif code == REBASE_SKIPPING:
            times, skip = codes.uleb(), codes.uleb()
        elif code != REBASE_TYPE or low != 1:
            raise macho.Wrong(f"unknown rebase {code:x}{low:x}")
        for _ in range(times):
            yield address & WHOLE
            address = (address + 8 + skip) & WHOLE


def exports(data):
    """The names of a trie of exports: a node is what it exports itself, then
    its branches, each a piece of text and the place of another node."""
    left = [("", 0)] if data else []
    seen = set()
    while left:
        name, at = left.pop()
        if at in seen:
            raise macho.Wrong("a node of the exports is met twice")
        seen.add(at)
        codes = Codes(data)
        codes.at = at
        own = codes.uleb()
        if own:
            yield name
        codes.at += own
        for _ in range(codes.byte()):
            left.append((name + codes.text(), codes.uleb()))


# Arm's C++ ABI at Apple: the name of a type that other libraries may have too
# is compared as text; its address carries this bit.
SHARED_NAME = 1 << 63


def check(made, offers):
    """Wrong, unless each place may be written and gets what there is. made: a
    macho.MachO; offers: library -> its symbols. The numbers of both."""
    if made.fixups is None:
        raise macho.Wrong("no LC_DYLD_INFO_ONLY: fixups of an unknown kind")
    segments = list(made.segments.values())
    parts = [made.data[o:o + n]
             for o, n in zip(made.fixups[::2], made.fixups[1::2])]
    rebase, bind, weak, lazy, trie = parts

    def place(address):
        for start, size, offset, length, (_, first) in segments:
            if start <= address and address + 8 <= start + size:
                if not first & macho.WRITE:
                    break
                return offset + address - start, length - (address - start)
        raise macho.Wrong(f"{address:x} is to be written, and may not be")

    moved = set()
    for address in rebases(rebase, segments):
        offset, left = place(address)
        held = left >= 8 and struct.unpack_from("<Q", made.data, offset)[0]
        if not segments[1][0] <= held & ~SHARED_NAME < segments[-1][0]:
            raise macho.Wrong(f"{address:x} holds {held:x}, no place of its own")
        moved.add(address)
    taken = [*binds(bind, segments), *binds(lazy, segments, True)]
    for address, name, library in taken:
        place(address)
        if not library or library > len(made.dylibs):
            raise macho.Wrong(f"{name} of no library: {library}")
        found = made.dylibs[library - 1]
        if name not in offers.get(found, ()):
            raise macho.Wrong(f"{name} is not in {found}")
    # One of a process's several definitions; the program has one, or a library.
    known = set(exports(trie)).union(*offers.values())
    for address, name, _ in binds(weak, segments):
        place(address)
        # A hidden one, as zig's linker writes it too: the place keeps its own.
        if name not in known and address not in moved:
            raise macho.Wrong(f"{name} is nowhere")
    return len(moved), len(taken)
