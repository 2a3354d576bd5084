#!/usr/bin/env python3
"""Runs every benchmark and writes one report: report.json, and report.html with tables and plots.

  scripts/bench.sh all [--short] [--json] [--out FOLDER] [--only NAME,NAME] [--model MODEL] [--threads N]

A benchmark that cannot run here (no GPU, say) or fails is left out of the report with its sentence, and the status is
1 when one failed.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

from page import page

NOT_HERE = ("unsupported", "unavailable")  # codes of errors that say what the machine lacks, not what is wrong


def say(words):
    print(words, file=sys.stderr, flush=True)


def names_of(program):
    """What there is, from the program's own list."""
    listed = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout
    return [line.split()[0] for line in listed.splitlines()[1:] if line.strip()]


def run_one(program, name, passed_on):
    """The benchmark's report; or None, the error's sentence and its code."""
    done = subprocess.run([program, name, "--json", *passed_on], stdout=subprocess.PIPE, text=True, check=False)
    try:
        printed = json.loads(done.stdout)
    except ValueError:
        printed = {}
    if done.returncode == 0 and "details" in printed:
        return printed, "", ""
    error = printed.get("error", {})
    return None, error.get("message", f"It ended with status {done.returncode}."), error.get("code", "")


def write(path, text):
    """The old file or the new one, never half of it."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench.sh all", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter, usage=argparse.SUPPRESS)  # fmt: skip
    parser.add_argument("program", help=argparse.SUPPRESS)
    parser.add_argument("--short", action="store_true", help="fewer rounds and lengths")
    parser.add_argument("--json", action="store_true", help="print report.json on standard output, too")
    parser.add_argument("--out", type=Path, default=Path("build/bench-report"), metavar="FOLDER",
                        help="where the report goes (build/bench-report)")  # fmt: skip
    parser.add_argument("--only", default="", metavar="NAME,NAME", help="these benchmarks and no others")
    parser.add_argument("--model", help="a model's name or GGUF file")
    parser.add_argument("--threads", help="host threads that compute")
    arguments = parser.parse_args()

    names = names_of(arguments.program)
    wanted = [name for name in arguments.only.split(",") if name] or names
    if unknown := sorted(set(wanted) - set(names)):
        say(f"There is no benchmark \"{unknown[0]}\"; there are {', '.join(names)}.")
        return 2
    passed_on = ["--short"] if arguments.short else []
    for option in ("model", "threads"):
        if value := getattr(arguments, option):
            passed_on += [f"--{option}", value]

    began = time.monotonic()
    report = {"made": datetime.now(timezone.utc).isoformat(timespec="seconds"), "benchmarks": {}, "left_out": {}}
    failed = False
    arguments.out.mkdir(parents=True, exist_ok=True)
    for place, name in enumerate(wanted, start=1):
        say(f"==> benchmark {place} of {len(wanted)}, after {time.monotonic() - began:.0f} s: {name}")
        found, sentence, code = run_one(arguments.program, name, passed_on)
        if found is not None:
            report["benchmarks"][name] = found
        else:
            say(f"    left out: {sentence}")
            report["left_out"][name] = sentence
            failed = failed or code not in NOT_HERE
        # After each, so that a run that is interrupted keeps what it has.
        text = json.dumps(report, indent=1)
        write(arguments.out / "report.json", text + "\n")
        if report["benchmarks"]:
            write(arguments.out / "report.html", page(report["benchmarks"], report["left_out"]))
    say(f"The report is {arguments.out / 'report.html'}, its figures {arguments.out / 'report.json'}.")
    if arguments.json:
        print(text)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
