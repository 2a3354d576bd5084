"""Actors that move between this machine's processor and an emulated arm64, by exported files.

Environment: DRIFTWOOD_HOST (the program built for this machine), DRIFTWOOD_ARM64 (the emulator, its options, and the
program built for arm64, with spaces between them), DRIFTWOOD_TEST_MODEL (SmolLM2's file).
"""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest

QUESTION = "What is my name?"
MODEL = os.environ["DRIFTWOOD_TEST_MODEL"]
HOST = [os.environ["DRIFTWOOD_HOST"]]
ARM64 = os.environ["DRIFTWOOD_ARM64"].split()
ARM64_LARGE_PAGES = [ARM64[0], "-p", "65536", *ARM64[1:]]


def tensors_of(file):
    """What follows a safetensors file's header, which names the snapshot."""
    return file[8 + int.from_bytes(file[:8], "little"):]


class Machine:
    """A program with a home of its own: nothing is shared with another machine but the files that are given."""

    def __init__(self, name, command, folder):
        self.name = name
        self.command = command
        self.home = folder / name
        self.home.mkdir()

    def run(self, *arguments):
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "NO_COLOR": "1",
        }
        ended = subprocess.run([*self.command, *arguments], env=environment, capture_output=True, text=True, timeout=900)
        if ended.returncode != 0:
            raise AssertionError(f"{self.name}: {' '.join(arguments)}: status {ended.returncode}: {ended.stderr}")
        self.notes = ended.stderr
        return ended.stdout

    def json(self, *arguments):
        return json.loads(self.run(*arguments, "--json"))

    def take(self, label, path):
        """Imports an exported actor; what it is then, by hashes over what this machine has mapped."""
        self.run("snapshots", "import", str(path))
        found = self.json("inspect", label, "-m", MODEL)
        return {key: found[key] for key in ("id", "memory_sha256", "globals_sha256", "transcript", "contexts")}

    def give(self, label, path):
        self.run("snapshots", "export", label, str(path), "--zstd")

    def go_on(self, label, save):
        return self.json("thaw", label, "-m", MODEL, "--say", QUESTION, "--save", save)

    def rows(self, label, path):
        self.run("kv", "export", label, "-o", str(path), "-m", MODEL)
        return path.read_bytes()


class Move(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="driftwood-move-")
        cls.addClassCleanup(cls.temporary.cleanup)
        cls.folder = pathlib.Path(cls.temporary.name)
        cls.host = Machine("host", HOST, cls.folder)
        cls.arm64 = Machine("arm64", ARM64, cls.folder)
        cls.host.run("freeze", "-m", MODEL, "--say", "My name is Ada.", "--temperature", "0", "--max-tokens", "24",
                     "--ctx", "512", "--deterministic", "--label", "talk")
        cls.host.give("talk", cls.folder / "talk.dwsnap")
        cls.here = cls.host.json("inspect", "talk", "-m", MODEL)
        cls.there = cls.arm64.take("talk", cls.folder / "talk.dwsnap")
        cls.stayed = cls.host.go_on("talk", "stayed")
        cls.moved = cls.arm64.go_on("talk", "moved")

    def test_memory_and_globals_are_the_same_on_arm64(self):
        for key, value in self.there.items():
            self.assertEqual(value, self.here[key], key)

    def test_exported_rows_are_the_same_file(self):
        self.assertEqual(self.arm64.rows("talk", self.folder / "there"), self.host.rows("talk", self.folder / "here"))

    def test_thaw_says_that_the_instruction_set_is_another(self):
        self.assertIn("aarch64", self.moved["numerics_difference"])
        self.assertIn("x86_64", self.moved["numerics_difference"])
        self.arm64.run("thaw", "talk", "-m", MODEL)
        self.assertIn("aarch64", self.arm64.notes)
        self.assertEqual(self.stayed["numerics_difference"], "")

    def test_conversation_goes_on_without_prefill(self):
        there, here = self.moved["replies"][0], self.stayed["replies"][0]
        self.assertEqual(there["reused_tokens"], here["reused_tokens"])
        self.assertGreater(there["generated_tokens"], 3)
        print(f"\n    on this machine: {here['text']!r}\n    on arm64:        {there['text']!r}")

    def test_actor_comes_back(self):
        self.arm64.give("moved", self.folder / "moved.dwsnap")
        there = self.arm64.json("inspect", "moved", "-m", MODEL)
        here = self.host.take("moved", self.folder / "moved.dwsnap")
        for key, value in here.items():
            self.assertEqual(value, there[key], key)
        self.assertEqual(len(here["transcript"]), 4)
        back = self.host.go_on("moved", "back")
        self.assertIn("aarch64", back["numerics_difference"])
        self.assertGreater(back["replies"][0]["generated_tokens"], 3)

    def test_pages_of_64_kib_hold_the_same_actor(self):
        large = Machine("large-pages", ARM64_LARGE_PAGES, self.folder)
        there = large.take("talk", self.folder / "talk.dwsnap")
        for key, value in there.items():
            self.assertEqual(value, self.here[key], key)
        moved = large.go_on("talk", "moved")
        # The page size changes no number.
        self.assertEqual(moved["replies"][0]["text"], self.moved["replies"][0]["text"])
        self.assertEqual(tensors_of(large.rows("moved", self.folder / "large")),
                         tensors_of(self.arm64.rows("moved", self.folder / "small")))


if __name__ == "__main__":
    unittest.main(verbosity=2)
