"""An agent from the registry does a task against answers that were written for
it, in each of the three dialects. `make agents` runs the others, too."""

import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]


def test_pi_in_every_dialect(binary):
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools/agents"), "pi", "--mode", "replay",
         "--limit", "120", "--json"], capture_output=True, text=True,
        env={**os.environ, "RAPID_MLX_BIN": binary}, timeout=500)
    assert done.stdout, done.stderr
    rows = json.loads(done.stdout)
    assert [row["agent"] for row in rows] == [
        "pi", "pi-responses", "pi-messages"]
    for row in rows:
        assert row.get("done") and not row["errors"], row
        assert row["requests"] == 3 and row["exit"] == 0, row
