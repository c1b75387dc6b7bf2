#!/usr/bin/env python3
"""Fetches about seventy real chat templates to test with; nothing is vendored.

  python tools/fetch_templates.py FOLDER      # FOLDER/*.jinja, once

They lie in PyPI's llama-cpp-python sdist, pinned by its sha256.
"""
import glob
import os
import subprocess
import sys
import tarfile
import tempfile

SDIST = "llama-cpp-python==0.3.36"
SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
# pip prepares metadata before it keeps an sdist: a backend that does only that.
BACKEND = '''
import os
def prepare_metadata_for_build_wheel(folder, config_settings=None):
    name = "llama_cpp_python-0.3.36.dist-info"
    os.makedirs(os.path.join(folder, name))
    with open(os.path.join(folder, name, "METADATA"), "w") as out:
        out.write("Metadata-Version: 2.1\\nName: llama_cpp_python\\n"
                  "Version: 0.3.36\\n")
    return name
'''


def sdist_templates():
    with tempfile.TemporaryDirectory() as folder:
        stub = os.path.join(folder, "stub", "scikit_build_core")
        os.makedirs(stub)
        open(os.path.join(stub, "__init__.py"), "w").close()
        with open(os.path.join(stub, "build.py"), "w") as out:
            out.write(BACKEND)
        wanted = os.path.join(folder, "wanted.txt")
        with open(wanted, "w") as out:
            out.write(f"{SDIST} --hash=sha256:{SHA256}\n")
        env = dict(os.environ, PYTHONPATH=os.path.dirname(stub))
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
             "--no-cache-dir", "--disable-pip-version-check",
             "--no-binary", ":all:", "--no-build-isolation",
             "--dest", folder, "-r", wanted], check=True, env=env)
        [archive] = glob.glob(os.path.join(folder, "*.tar.gz"))
        found = {}
        with tarfile.open(archive) as tar:
            for member in tar:
                if "/models/templates/" in member.name and \
                        member.name.endswith(".jinja"):
                    name = os.path.basename(member.name)
                    found[name] = tar.extractfile(member).read().decode()
        return found


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    folder = sys.argv[1]
    stamp = os.path.join(folder, ".sha256")
    if os.path.exists(stamp) and open(stamp).read() == SHA256:
        return 0
    os.makedirs(folder, exist_ok=True)
    for name, source in sdist_templates().items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as out:
            out.write(source)
    with open(stamp, "w") as out:
        out.write(SHA256)
    return 0


if __name__ == "__main__":
    sys.exit(main())
