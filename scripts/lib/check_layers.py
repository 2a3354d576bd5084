"""Holds the includes to the layers: what a folder of src/ may include, and who may include whom beside it.

The same table is in the folders' CMake link targets; this check also sees what include paths let through.
"""

import pathlib
import re
import sys

MAY_USE = {
    "core": [],
    "memory": ["core"],
    "device": ["core", "memory"],
    "wasm": ["core", "memory"],
    "model": ["core", "memory", "device"],
    "llm": ["core", "memory", "device", "model"],
    "snapshot": ["core", "memory"],
    "hostcalls": ["core", "memory", "device", "wasm", "model", "llm", "snapshot"],
    "actor": ["core", "memory", "device", "wasm", "model", "llm", "snapshot", "hostcalls"],
    "embed": ["core", "memory", "device", "wasm", "model", "llm", "snapshot", "hostcalls", "actor"],
}
INCLUDE = re.compile(r'^\s*#\s*include\s+["<]([^">]+)[">]')
root = pathlib.Path(__file__).resolve().parents[2]
wrong = 0

for path in sorted((root / "src").rglob("*")):
    if path.suffix not in (".cpp", ".hpp", ".c", ".h", ".mm"):
        continue
    layer = path.relative_to(root / "src").parts[0]
    if layer not in MAY_USE:
        print(f"{path.relative_to(root)}: src/{layer} is not in the table of layers", file=sys.stderr)
        wrong += 1
        continue
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        parts = pathlib.PurePosixPath(match[1]).parts
        first = parts[0] if len(parts) > 1 else ""
        if first in MAY_USE and first != layer and first not in MAY_USE[layer]:
            reason = f"{layer} may use {', '.join(MAY_USE[layer]) or 'nothing'}"
        elif first in ("apps", "tests", "bench", "examples"):
            reason = "a library does not use its users"
        elif first == "..":
            reason = "includes are written from src/"
        else:
            continue
        print(f"{path.relative_to(root)}:{number}: includes {match[1]}, but {reason}", file=sys.stderr)
        wrong += 1

# Users have the standard library and these headers, and nothing that they are implemented with.
for path in sorted((root / "include").rglob("*.hpp*")):
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match = INCLUDE.match(line)
        if match and not re.fullmatch(r"driftwood/\w+\.hpp|[a-z_]+", match[1]):
            print(f"{path.relative_to(root)}:{number}: a public header includes {match[1]}", file=sys.stderr)
            wrong += 1

for path in sorted((root / "sdk").rglob("*")):
    if path.suffix in (".cpp", ".hpp", ".c", ".h"):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            match = INCLUDE.match(line)
            if match and "/" in match[1] and match[1].split("/")[0] in MAY_USE:
                print(f"{path.relative_to(root)}:{number}: a guest includes the host's {match[1]}", file=sys.stderr)
                wrong += 1

sys.exit(1 if wrong else 0)
