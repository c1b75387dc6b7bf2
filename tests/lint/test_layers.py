"""Includes point down the layer list; MLX and HTTP stay where they belong."""

import re
import unittest

import tree


class Layers(unittest.TestCase):
    def test_every_folder_is_a_layer(self):
        folders = {tree.layer_of(p) for p in tree.sources()}
        self.assertEqual(folders - set(tree.LAYERS), set())

    def test_includes_point_down(self):
        wrong = []
        for path in tree.sources():
            here = tree.LAYERS.index(tree.layer_of(path))
            for include in tree.INCLUDE.findall(path.read_text()):
                target = include.split("/")[0]
                if target in tree.LAYERS and tree.LAYERS.index(target) < here:
                    wrong.append(f"{tree.name_of(path)} includes {include}")
        self.assertEqual(wrong, [])

    def test_mlx_only_in_its_layers(self):
        wrong = [
            tree.name_of(path) for path in tree.sources()
            if tree.layer_of(path) not in tree.MLX_LAYERS
            and re.search(r"#include <mlx/", path.read_text())]
        self.assertEqual(wrong, [])

    def test_engine_headers_for_the_front_are_free_of_mlx(self):
        for name in ["engine/engine.h", "engine/front.h"]:
            self.assertNotIn("mlx/", (tree.ROOT / "src" / name).read_text())

    def test_http_types_stay_in_server(self):
        wrong = [
            tree.name_of(path) for path in tree.sources()
            if tree.layer_of(path) != "server"
            and re.search(r"boost/(beast|asio)", path.read_text())]
        self.assertEqual(wrong, [])


class Platforms(unittest.TestCase):
    """Platform #ifdefs only in {kernels,simd}/*_{cpu,metal,cuda} and base/platform_*."""

    MACRO = re.compile(
        r"^\s*#\s*(?:if|ifdef|ifndef|elif)\b.*(?:__linux__|__APPLE__|_WIN32|"
        r"__AVX|__x86_64__|__aarch64__|__ARM)", re.M)
    ALLOWED = re.compile(
        r"src/((kernels|simd)/[a-z0-9_]+_(cpu|metal|cuda)\.(cpp|h|inl)|"
        r"base/platform_[a-z]+\.cpp)$")

    def test_ifdefs(self):
        wrong = [
            tree.name_of(path) for path in tree.sources()
            if self.MACRO.search(path.read_text())
            and not self.ALLOWED.search(tree.name_of(path))]
        self.assertEqual(wrong, [])


if __name__ == "__main__":
    unittest.main()
