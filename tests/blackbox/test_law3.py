"""A few steps of the long walk that `make law3` goes."""

import os
import pathlib
import subprocess
import sys

TOOL = pathlib.Path(__file__).parents[2] / "tools/law3.py"


def test_nothing_that_happens_changes_an_answer(binary):
    done = subprocess.run(
        [sys.executable, TOOL, "smollm2-135m", "--steps", "25", "--seed", "4"],
        capture_output=True, text=True, env={**os.environ,
                                             "RAPID_MLX_BIN": binary})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no answer differed" in done.stdout
