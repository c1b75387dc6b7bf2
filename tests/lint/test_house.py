"""Habits a reader relies on: contracts on headers, plugins, no leftovers."""

import re
import shutil
import subprocess
import unittest

import tree

PLUGINS = {"models": "model", "formats": "format", "api": "route",
           "cli": "command"}


class House(unittest.TestCase):
    def test_headers_start_with_a_contract(self):
        wrong = []
        for path in tree.sources():
            if path.suffix == ".h":
                text = path.read_text()
                if not text.startswith("//") or "#pragma once" not in text:
                    wrong.append(tree.name_of(path))
        self.assertEqual(wrong, [])

    def test_nothing_is_left_for_later(self):
        pattern = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
        wrong = [
            tree.name_of(p)
            for p in tree.files(".cpp", ".h", ".inl", ".rs", ".py", ".txt",
                                ".cmake", under="src")
            if pattern.search(p.read_text())]
        self.assertEqual(wrong, [])

    def test_plugin_hooks_match_their_file(self):
        wrong = []
        for folder, kind in PLUGINS.items():
            for path in tree.files(".cpp", under=f"src/{folder}"):
                hooks = re.findall(
                    rf"^void register_{kind}_(\w+)\(", path.read_text(), re.M)
                if hooks not in ([], [path.stem]):
                    wrong.append(f"{tree.name_of(path)}: {hooks}")
        self.assertEqual(wrong, [])

    def test_no_machine_paths(self):
        pattern = re.compile(r"/(?:work|root)/|/home/[a-z]")
        wrong = [
            tree.name_of(p)
            for p in tree.files(".cpp", ".h", ".rs", ".py", ".md", ".cmake",
                                ".json", ".toml", "Makefile")
            if p.name != "test_house.py" and pattern.search(p.read_text())]
        self.assertEqual(wrong, [])

    def test_clang_format(self):
        tool = shutil.which("clang-format-19")
        self.assertIsNotNone(tool, "clang-format-19: run tools/setup --tests")
        paths = [str(p) for p in tree.files(".cpp", ".h", ".inl")]
        done = subprocess.run(
            [tool, "--dry-run", "-Werror", *paths], capture_output=True,
            text=True, cwd=tree.ROOT)
        first = done.stderr.split("\n")[0]
        self.assertEqual(done.returncode, 0, f"make format: {first}")


if __name__ == "__main__":
    unittest.main()
