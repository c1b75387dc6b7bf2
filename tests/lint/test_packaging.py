"""What packages say twice is the same, and their files are well formed."""

import pathlib
import plistlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import tree

for place in ("packaging/python", "packaging/cross"):
    sys.path.insert(0, str(tree.ROOT / place))
sys.dont_write_bytecode = True
import backend  # noqa: E402
import darwin  # noqa: E402
import fetch  # noqa: E402
import linux  # noqa: E402


class Packaging(unittest.TestCase):
    def test_one_version(self):
        version = backend.version()
        script = (tree.ROOT / "install.sh").read_text()
        self.assertIn(f"\nVERSION={version}\n", script)
        formula = (tree.ROOT / "packaging/homebrew/rapid-mlx.rb").read_text()
        self.assertIn(f"rapid_mlx-{version}.tar.gz", formula)

    def test_wheels_pin_the_mlx_they_are_built_with(self):
        self.assertRegex(
            backend.requirements("Linux")[0], r"^mlx\[cpu\]==\d+\.\d+\.\d+$")
        self.assertRegex(
            backend.requirements("Darwin")[0], r"^mlx==\d+\.\d+\.\d+$")
        build = (tree.ROOT / "docs/BUILD.md").read_text()
        self.assertIn(f"| {backend.mlx_version()} |", build)

    def test_what_other_platforms_programs_are_made_of_is_pinned(self):
        manifest = (tree.ROOT / "packaging/cross/Cargo.toml").read_text()
        lock = (tree.ROOT / "packaging/cross/Cargo.lock").read_text()
        wanted = re.search(r"\[dependencies\]\n(.*)", manifest, re.S)[1]
        for line in wanted.strip().split("\n"):
            name, version = re.search(r'^(\S+) = .*?"=([\d.]+)"', line).groups()
            self.assertRegex(lock, rf'name = "{name}"\nversion = "{version}[+"]')
        for name in [*linux.ARCHIVES, "yaml-cpp", "minizip"]:
            self.assertIn(name, fetch.PINS)
        check = (tree.ROOT / "tools/mac-link-check").read_text()
        self.assertIn(f"ZIG_VERSION={fetch.ZIG}\n", check)

    def test_what_debian_gives_must_be_the_pinned_version(self):
        debian = object.__new__(fetch.Debian)
        debian.check("yaml-cpp", "0.7.0+dfsg-8")
        with self.assertRaisesRegex(fetch.Missing, r"yaml-cpp 0\.8\.0\S*, not 0\.7\.0"):
            debian.check("yaml-cpp", "0.8.0+dfsg-6")

    def test_symbols_that_a_mac_has_are_named_with_who_takes_them(self):
        listed = (tree.ROOT / "packaging/cross/libcxx.txt").read_text()
        self.assertRegex(listed, r"(?m)^# taken by mlx_metal-[\d.]+$")
        named = darwin.symbols("libcxx.txt")
        self.assertEqual(len(named), len(set(named)))
        for symbol in ("___gxx_personality_v0", "___cxa_throw"):
            self.assertIn(symbol, named)
        calls = (tree.ROOT / "src/cli/line_reader.cpp").read_text()
        called = set(re.findall(r"::(el_\w+|history\w*)\(", calls))
        called |= set(re.findall(r"::(history)\b", calls))
        self.assertEqual({f"_{c}" for c in called},
                         set(darwin.symbols("libedit.txt")))

    def test_stubs_are_read_as_they_are_written(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "lib.tbd"
            darwin.stub(file, "/usr/lib/lib.dylib", ["_a", "_b"])
            self.assertEqual(darwin.offered(file), {"_a", "_b"})
            file.write_text(file.read_text().replace("arm64-", "x86_64-"))
            self.assertEqual(darwin.offered(file), set())

    def test_shell_scripts_parse(self):
        scripts = [tree.ROOT / "install.sh"]
        scripts += (tree.ROOT / "packaging/debian").glob("p*")
        for script in scripts:
            done = subprocess.run(
                ["sh", "-n", script], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, f"{script}: {done.stderr}")

    def test_units(self):
        with open(tree.ROOT / "packaging/launchd/rapid-mlx.plist", "rb") as f:
            self.assertEqual(plistlib.load(f)["Label"], "rapid-mlx")
        for name in ("rapid-mlx", "rapid-mlx-user"):
            text = (tree.ROOT / f"packaging/systemd/{name}.service").read_text()
            self.assertTrue(re.search(r"^ExecStart=\S+/rapid-mlx serve", text, re.M))

    def test_formula_keeps_the_rules_of_brew_audit(self):
        text = (tree.ROOT / "packaging/homebrew/rapid-mlx.rb").read_text()
        desc = re.search(r'^  desc "(.*)"$', text, re.M)[1]
        self.assertLessEqual(len(desc), 80)
        self.assertNotRegex(desc, r"(?i)^(a|an|the|rapid-mlx)\b|\.$")
        self.assertRegex(text, r'(?m)^  url "https://\S+\.tar\.gz"$')
        self.assertRegex(text, r'(?m)^  homepage "https://\S+[^/]"$')
        self.assertRegex(text, r'(?m)^  sha256 "[0-9a-f]{64}"$')
        for kind in ('" => :build', '"'):
            names = re.findall(rf'^  depends_on "([^"]+){kind}$', text, re.M)
            self.assertEqual(names, sorted(names))
        # The order that its style check wants.
        parts = re.findall(
            r"^  (desc|homepage|url|sha256|license|depends_on|uses_from_macos|"
            r"def install|service do|test do)", text, re.M)
        order = ["desc", "homepage", "url", "sha256", "license", "depends_on",
                 "uses_from_macos", "def install", "service do", "test do"]
        self.assertEqual(list(dict.fromkeys(parts)), order)
        self.assertLessEqual(max(map(len, text.splitlines())), 118)

    @unittest.skipUnless(shutil.which("ruby"), "needs ruby")
    def test_formula_installs_with_what_brew_offers(self):
        """Run on a stand-in for Homebrew's classes: what it would do."""
        done = subprocess.run(
            ["ruby", tree.ROOT / "tests/lint/formula_run.rb",
             tree.ROOT / "packaging/homebrew/rapid-mlx.rb"],
            capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        for line in ("npm ci", "cmake -S . -B build -G Ninja",
                     "cmake --build build --target rapid-mlx",
                     "install build/bin/rapid-mlx",
                     "completions completion bash zsh fish",
                     "write man1/rapid-mlx.1 rapid-mlx man",
                     "service bin/rapid-mlx serve", "test parse"):
            self.assertIn(line, done.stdout)


if __name__ == "__main__":
    unittest.main()
