"""Links every stored single-file model as FOLDER/<alias>.gguf.

    rapid-mlx ls --json | python3 tools/link_models.py FOLDER
"""

import json
import pathlib
import sys

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
for model in json.load(sys.stdin):
    path = pathlib.Path(model["path"])
    files = [path] if path.is_file() else sorted(path.glob("*.gguf"))
    if len(files) == 1:
        link = folder / (model["name"].replace("/", "_") + ".gguf")
        link.unlink(missing_ok=True)
        link.symlink_to(files[0].resolve())
