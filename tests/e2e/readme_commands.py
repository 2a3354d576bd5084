#!/usr/bin/env python3
"""Runs every command block of the README, from the project's folder, as a reader would.

usage: readme_commands.py README.md

Each fenced block that is marked `sh` is run by bash and has to succeed. A block that starts the tests is the one that
this program is part of, so it is only checked to be there.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUNNING_NOW = "./scripts/test.sh"
SET_BY_TESTS = {"DRIFTWOOD_PRESET", "DRIFTWOOD_TEST_MODEL"}


def run(command, folder, environment) -> bool:
    print(f"$ {command}", flush=True)
    shell = ["bash", "-euo", "pipefail", "-c", command]
    status = subprocess.run(shell, cwd=folder, env=environment, check=False).returncode
    if status != 0:
        print(f"status {status}")
    return status == 0


def main() -> int:
    readme = pathlib.Path(sys.argv[1]).resolve()
    blocks = BLOCK.findall(readme.read_text(encoding="utf-8"))
    unmarked = [text for language, text in blocks if language != "sh"]
    if unmarked:
        print(f"A block is not marked sh, so nobody runs it:\n{unmarked[0]}")
        return 1
    commands = [text.strip() for _, text in blocks]
    if RUNNING_NOW not in commands:
        print(f"The README does not have {RUNNING_NOW}.")
        return 1
    # As in a reader's shell, whatever the tests were started with.
    environment = {name: value for name, value in os.environ.items() if name not in SET_BY_TESTS}
    with tempfile.TemporaryDirectory(prefix="driftwood-readme-") as data:
        # The reader's models, but a store of snapshots that goes with the test.
        home = environment.get("XDG_DATA_HOME") or pathlib.Path.home() / ".local/share"
        environment.setdefault("DRIFTWOOD_MODELS", str(pathlib.Path(home) / "driftwood/models"))
        environment["XDG_DATA_HOME"] = data
        for command in commands:
            if command != RUNNING_NOW and not run(command, readme.parent, environment):
                return 1
    print(f"{len(commands)} blocks, all well")
    return 0


if __name__ == "__main__":
    sys.exit(main())
