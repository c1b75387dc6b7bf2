"""What every lint test reads: the sources git knows, and the order of layers."""

import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]

# From the top down: an include may point to a later entry or to its own.
LAYERS = [
    "cli", "bench", "server", "pool", "api", "agents", "mcp", "advice",
    "engine", "formats",
    "chat", "speculation", "sampling", "cache", "models", "nn", "state", "kernels", "tensor",
    "simd", "hub", "text", "base",
]
MLX_LAYERS = {
    "tensor", "kernels", "state", "nn", "models", "cache", "sampling",
    "engine", "bench",
}
INCLUDE = re.compile(r'^\s*#\s*include\s+[<"]([^">]+)[">]', re.M)


def files(*suffixes, under="."):
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", under],
        cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    paths = [ROOT / name for name in listed if name.endswith(suffixes)]
    return sorted(p for p in paths if p.is_file())


def sources():
    return files(".cpp", ".h", ".inl", under="src")


def layer_of(path):
    return path.relative_to(ROOT / "src").parts[0]


def name_of(path):
    return str(path.relative_to(ROOT))


def without_comments(text):
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    return re.sub(r"//[^\n]*", "", text)
