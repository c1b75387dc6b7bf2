"""Builds the C and C++ libraries of another platform's program as archives,
with the compilers of a folder: folder/bin/{cc,c++,ar,ranlib} in, folder/lib/*.a
and folder/include out.
"""

import concurrent.futures
import os
import pathlib
import shutil
import subprocess

import fetch

# Headers of Debian's packages that are the same on every platform.
HEADERS = ["toml++", "nlohmann", "fmt", "spdlog", "CLI", "boost"]
# What neither our server nor its clients negotiate.
OPENSSL = """no-shared no-module no-tests no-apps no-docs no-comp no-zlib
 no-zlib-dynamic no-legacy no-ssl3 no-md2 no-md4 no-mdc2 no-rc2 no-rc4 no-rc5
 no-weak-ssl-ciphers no-idea no-seed no-bf no-cast no-camellia no-aria
 no-whirlpool no-rmd160 no-sm2 no-sm3 no-sm4 no-gost no-srp no-psk no-dtls
 no-quic no-cms no-cmp no-ts no-slh-dsa no-engine no-async no-autoload-config
""".split()
# Two headers that zig lacks: the part of them that OpenSSL uses, of libSystem.
COMMON_CRYPTO = {
    "CommonCryptoError.h": "#include <stdint.h>\n"
                           "enum { kCCSuccess = 0 };\n"
                           "typedef int32_t CCCryptorStatus;\n",
    "CommonRandom.h": "#include <stddef.h>\n"
                      "typedef CCCryptorStatus CCRNGStatus;\n"
                      "CCRNGStatus CCRandomGenerateBytes(void*, size_t);\n"}
SQLITE = ["-DSQLITE_THREADSAFE=1", "-DSQLITE_OMIT_LOAD_EXTENSION",
          "-DSQLITE_DEFAULT_MEMSTATUS=0"]


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)


class Libraries:
    def __init__(self, folder):
        self.folder = folder
        self.bin = folder / "bin"
        self.lib = folder / "lib"
        self.include = folder / "include"
        self.work = folder / "work"
        for part in (self.lib, self.include, self.work):
            part.mkdir(parents=True, exist_ok=True)

    def link(self, name, target):
        """include/name is a link to target."""
        place = self.include / name
        if place.is_symlink():
            place.unlink()
        place.symlink_to(target)

    def headers(self):
        for name in HEADERS:
            self.link(name, pathlib.Path("/usr/include") / name)
        # Only its interface: the library is opened at run time.
        found = [p for p in (pathlib.Path("/usr/include/curl"),
                             *pathlib.Path("/usr/include").glob("*-linux-gnu/curl"))
                 if p.is_dir()]
        if not found:
            raise fetch.Missing("no headers of libcurl", "tools/setup")
        self.link("curl", found[0])

    def archive(self, name, sources, *flags):
        """lib<name>.a of C or C++ files."""
        objects = []
        launcher = ["ccache"] if shutil.which("ccache") else []

        def compile_one(source):
            made = self.work / f"{name}-{source.stem}.o"
            compiler = "cc" if source.suffix == ".c" else "c++"
            fetch.run(*launcher, self.bin / compiler, "-O2", "-fPIC", "-w",
                      *flags, "-c", source, "-o", made)
            return made

        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(pool.map(compile_one, sources))
        out = self.lib / f"lib{name}.a"
        out.unlink(missing_ok=True)
        fetch.run(self.bin / "ar", "rcs", out, *objects)

    def openssl(self, source, target):
        build = self.work / "openssl"
        shutil.rmtree(build, ignore_errors=True)
        build.mkdir()
        launcher = "ccache " if shutil.which("ccache") else ""
        tools = {**os.environ, "CC": f"{launcher}{self.bin}/cc",
                 "AR": f"{self.bin}/ar", "RANLIB": f"{self.bin}/ranlib"}
        fetch.run("perl", source / "Configure", target, *OPENSSL,
                  "--prefix=/usr/local", "--openssldir=/private/etc/ssl",
                  cwd=build, env=tools)
        lacking = build / "include/CommonCrypto"
        lacking.mkdir(parents=True)
        for name, text in COMMON_CRYPTO.items():
            (lacking / name).write_text(text)
        fetch.run("make", "-s", f"-j{os.cpu_count()}", "build_libs", cwd=build,
                  env=tools)
        for name in ("ssl", "crypto"):
            shutil.copy(build / f"lib{name}.a", self.lib)
        place = self.include / "openssl"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(source / "include/openssl", place)
        shutil.copytree(build / "include/openssl", place, dirs_exist_ok=True)

    def sqlite(self, source):
        self.archive("sqlite3", [source / "sqlite3.c"], *SQLITE)
        self.link("sqlite3.h", source / "sqlite3.h")

    def zlib(self, source):
        self.archive("z", sorted(source.glob("*.c")), "-DHAVE_UNISTD_H")
        for name in ("zlib.h", "zconf.h"):
            self.link(name, source / name)

    def minizip(self, source):
        """Its reader alone."""
        place = self.include / "minizip"
        place.mkdir(exist_ok=True)
        for name in ("unzip.h", "ioapi.h"):
            shutil.copy(source / name, place)
        self.archive("minizip", [source / "unzip.c", source / "ioapi.c"],
                     f"-I{self.include}", "-DUSE_FILE32API")

    def yaml(self, source):
        self.archive("yaml-cpp", sorted(source.glob("src/*.cpp")), "-std=c++17",
                     f"-I{source}/include", "-DYAML_CPP_STATIC_DEFINE")
        self.link("yaml-cpp", source / "include/yaml-cpp")
