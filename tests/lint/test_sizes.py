"""Files: p90 under 400 lines, none over 800. Functions under 80 lines."""

import re
import unittest

import tree

# name -> reason
FILE_EXCEPTIONS = {}
FUNCTION_EXCEPTIONS = {}


def functions(text):
    """(name, lines) of every brace block that closes in column 0 to 1 and
    opens on a line with a parameter list before it."""
    lines = text.split("\n")
    start = None
    for number, line in enumerate(lines):
        if start is None:
            if re.match(r"^\s{0,1}\S.*\{\s*$", line) and not re.match(
                    r"^\s*(namespace|struct|class|enum|union|extern|#|\}|//|"
                    r"const\b.*=|constexpr\b.*=|static\b.*=)", line):
                indent = len(line) - len(line.lstrip())
                start = (number, indent)
        elif re.match(r"^\s{%d}\}" % start[1], line):
            yield lines[start[0]].strip(), number - start[0] + 1
            start = None


class Sizes(unittest.TestCase):
    def all_files(self):
        return [
            p for p in tree.files(".cpp", ".h", ".inl", ".rs", ".py")
            if "target/" not in str(p)]

    def test_files(self):
        sizes = {
            tree.name_of(p): len(p.read_text().split("\n"))
            for p in self.all_files()}
        too_big = {
            n: s for n, s in sizes.items()
            if s > 800 and n not in FILE_EXCEPTIONS}
        self.assertEqual(too_big, {})
        ordered = sorted(sizes.values())
        p90 = ordered[int(len(ordered) * 0.9)]
        self.assertLess(p90, 400)

    def test_functions(self):
        too_long = []
        for path in tree.sources():
            for name, lines in functions(path.read_text()):
                if lines > 80 and name not in FUNCTION_EXCEPTIONS:
                    too_long.append(f"{tree.name_of(path)}: {name} {lines}")
        self.assertEqual(too_long, [])

    def test_the_rule_sees_long_functions(self):
        body = "void f() {\n" + "  x();\n" * 90 + "}\n"
        self.assertEqual([n for _, n in functions(body)], [92])


if __name__ == "__main__":
    unittest.main()
