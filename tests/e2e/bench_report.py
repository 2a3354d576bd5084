"""The report of all benchmarks, and what is said of two of them.

Usage: bench_report.py BENCH_FOLDER DRIFTWOOD_BENCH MAKE_GGUF
"""

import copy
import html
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

BENCH, PROGRAM, MAKE_GGUF = (Path(argument) for argument in sys.argv[1:4])


def report(**medians):
    """A report of the benchmark "demo": medians by name, each with quartiles 1 % around it."""
    details = {
        name: {"median": m, "min": 0.98 * m, "q25": 0.99 * m, "q75": 1.01 * m, "p95": 1.05 * m, "runs": 25,
               "unit": "ratio" if name.endswith("ratio") else "us",
               "better": "more" if name.endswith("ratio") else "less", "counts": f"what <{name}> counts"}  # fmt: skip
        for name, m in medians.items()
    }
    machine = {"processor": "a processor", "cores": 2, "system": "a system", "memory_bytes": 2**34, "load": 0.1,
               "compiler": "GNU 12", "build": "Release", "cpu_features": ["AVX2", "AVX512", "FMA"]}  # fmt: skip
    return {"bench": "demo", "machine": machine, "short": False, "details": details}


class Compare(unittest.TestCase):
    def compare(self, before, after, *options):
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for name, content in (("before.json", before), ("after.json", after)):
                path = Path(folder) / name
                path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
                paths.append(path)
            return subprocess.run([BENCH / "compare", *paths, *options], capture_output=True, text=True, check=False)

    def changes(self, before, after, *options):
        done = self.compare(before, after, "--json", *options)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        return {row["figure"]: row["change"] for row in json.loads(done.stdout)["figures"]}

    def test_less_time_and_more_of_a_ratio_are_better(self):
        before, after = report(freeze_us=100, decode_ratio=1.5), report(freeze_us=80, decode_ratio=2.0)
        self.assertEqual(self.changes(before, after), {"freeze_us": "better", "decode_ratio": "better"})
        self.assertEqual(self.changes(after, before), {"freeze_us": "worse", "decode_ratio": "worse"})

    def test_the_report_says_which_way_is_better(self):
        before, after = report(strict_prefill_ratio=1.1), report(strict_prefill_ratio=1.4)
        for side in (before, after):
            side["details"]["strict_prefill_ratio"]["better"] = "less"
        self.assertEqual(self.changes(before, after), {"strict_prefill_ratio": "worse"})
        self.assertEqual(self.changes(after, before), {"strict_prefill_ratio": "better"})

    def test_a_report_without_ways_is_read_by_its_goals_and_units(self):
        before = report(wake_ratio=1.1, own_ratio=1.1, freeze_us=100)
        after = report(wake_ratio=1.4, own_ratio=1.4, freeze_us=140)
        for side in (before, after):
            for details in side["details"].values():
                del details["better"]
            side["details"]["wake_ratio"]["goal"] = "<= 1.2"
        self.assertEqual(
            self.changes(before, after), {"wake_ratio": "worse", "own_ratio": "changed", "freeze_us": "worse"}
        )

    def test_what_the_noise_explains_is_no_change(self):
        before, after = report(freeze_us=100), report(freeze_us=80)
        after["details"]["freeze_us"].update(q25=40, q75=160, runs=5)
        self.assertEqual(self.changes(before, after), {"freeze_us": "same"})

    def test_the_noise_of_few_runs_is_unknown(self):
        before, after = report(live_private_mb=0.30, freeze_us=100), report(live_private_mb=0.90, freeze_us=101)
        for runs in (1, 2, 4):
            few = copy.deepcopy(after)
            for details in few["details"].values():
                details.update(q25=details["median"], q75=details["median"], runs=runs)
            self.assertEqual(self.changes(before, few), {"live_private_mb": "unknown", "freeze_us": "same"})
            self.assertEqual(self.changes(few, before), {"live_private_mb": "unknown", "freeze_us": "same"})
            done = self.compare(before, few)
            self.assertEqual(done.returncode, 0)
            self.assertIn("unknown  demo live_private_mb", done.stdout)
            self.assertIn("1 of too few runs", done.stdout)

    def test_a_small_change_is_none(self):
        before, after = report(freeze_us=100), report(freeze_us=96)
        self.assertEqual(self.changes(before, after), {"freeze_us": "better"})
        self.assertEqual(self.changes(before, after, "--at-least", "5"), {"freeze_us": "same"})

    def test_the_status_says_whether_something_is_worse(self):
        self.assertEqual(self.compare(report(freeze_us=100), report(freeze_us=80)).returncode, 0)
        self.assertEqual(self.compare(report(freeze_us=80), report(freeze_us=100)).returncode, 1)

    def test_what_is_hard_to_compare_is_warned_of(self):
        before = report(freeze_us=100)
        self.assertEqual(self.compare(before, before).stderr, "")
        for field, value, words in (
            ("processor", "another", "processor was a processor and is another"),
            ("cores", 64, "cores was 2 and is 64"),
            ("system", "another", "system was a system and is another"),
            ("compiler", "GNU 15", "compiler was GNU 12 and is GNU 15"),
            ("build", "Debug", "build was Release and is Debug"),
            ("cpu_features", ["AVX2", "FMA"], "the kernels no longer use AVX512"),
            ("cpu_features", ["AVX2", "AVX512", "FMA", "VNNI"], "the kernels now use VNNI"),
            ("load", 12.34, "busy in the report after, with a load of 12.3 on 2 cores"),
        ):
            after = copy.deepcopy(before)
            after["machine"][field] = value
            self.assertIn(words, self.compare(before, after).stderr)
        for field, value in (("model", {"file": "another"}), ("threads", 7), ("short", True)):
            after = copy.deepcopy(before)
            after[field] = value
            self.assertIn(f"{field} was", self.compare(before, after).stderr)

    def test_what_is_no_report_is_a_sentence(self):
        for content in ("{", "[]", '{"bench": "demo"}', '{"benchmarks": {}}'):
            done = self.compare(report(freeze_us=100), content)
            self.assertEqual(done.returncode, 2, content)
            self.assertIn("after.json", done.stderr)
            self.assertNotIn("Traceback", done.stderr)
        self.assertEqual(self.compare(report(a_us=1), report(b_us=1)).returncode, 2)


class RunAll(unittest.TestCase):
    def run_all(self, folder, *options):
        command = [sys.executable, BENCH / "report" / "run_all.py", PROGRAM, "--out", folder, "--short", *options]
        environment = {**os.environ, "DRIFTWOOD_CACHE": str(Path(folder) / "cache")}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    def test_one_report_has_every_benchmark_and_a_page_with_plots(self):
        listed = subprocess.run([PROGRAM, "--list"], capture_output=True, text=True, check=True).stdout
        names = [line.split()[0] for line in listed.splitlines()[1:]]
        with tempfile.TemporaryDirectory() as folder:
            model = Path(folder) / "random.gguf"
            subprocess.run([MAKE_GGUF, model, "--embd", "128", "--ctx", "4352", "--type", "q4_1"], check=True)
            done = self.run_all(folder, "--model", model, "--threads", "1")
            self.assertEqual(done.returncode, 0, done.stderr)
            data = json.loads((Path(folder) / "report.json").read_text(encoding="utf-8"))
            found, left_out = data["benchmarks"], data["left_out"]
            self.assertEqual(sorted([*found, *left_out]), sorted(names))
            self.assertLessEqual(set(left_out), {"gpu", "worker"})  # what not every machine has
            page = (Path(folder) / "report.html").read_text(encoding="utf-8")
            for name, report in found.items():
                self.assertTrue(report["details"], name)
                for part in (f"<h2>{name}</h2>", *(f"<code>{figure}</code>" for figure in report["details"])):
                    self.assertIn(part, page)
            for sentence in left_out.values():
                self.assertIn(f"Left out: {html.escape(sentence)}", page)
            # Both sides' speed, wherever there is a peer.
            for name in ("forward", "many"):
                drawn = page[page.index(f"<h2>{name}</h2>") :].split("<table>")[0]
                for figure, sides in found[name]["tokens_per_s"].items():
                    self.assertIn(f">{figure}<", drawn)
                    self.assertIn(f"  {sides['counted']}<", drawn)
            same = subprocess.run([BENCH / "compare", *[Path(folder) / "report.json"] * 2], check=False)
            self.assertEqual(same.returncode, 0)

    def test_what_fails_is_left_out_with_its_sentence(self):
        with tempfile.TemporaryDirectory() as folder:
            done = self.run_all(folder, "--only", "chain,forward", "--model", "nobody")
            self.assertEqual(done.returncode, 1)
            data = json.loads((Path(folder) / "report.json").read_text(encoding="utf-8"))
            self.assertEqual(list(data["benchmarks"]), ["chain"])
            self.assertIn("nobody", data["left_out"]["forward"])
            self.assertIn("nobody", (Path(folder) / "report.html").read_text(encoding="utf-8"))

    def test_an_unknown_name_says_which_there_are(self):
        with tempfile.TemporaryDirectory() as folder:
            done = self.run_all(folder, "--only", "dance")
            self.assertEqual(done.returncode, 2)
            self.assertIn("coldstart", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
