"""Figures of the benchmarks' reports, as `driftwood-bench NAME --json` prints them."""

import json
import math
from dataclasses import dataclass
from pathlib import Path


class ReportError(Exception):
    """A sentence about a report that cannot be used."""


@dataclass(frozen=True)
class Figure:
    bench: str
    name: str
    unit: str
    median: float
    low: float  # the median's 95 % confidence interval
    high: float
    least: float
    p95: float
    runs: int
    goal: str  # "<= 300", or ""
    better: str  # "less" or "more"; "" in an old report that does not tell
    counts: str

    @property
    def reached(self):
        """Whether the goal is; None without one."""
        if not self.goal:
            return None
        side, value = self.goal.split()
        return self.median <= float(value) if side == "<=" else self.median >= float(value)


def better_of(details):
    """Which way a figure improves. Reports did not always say so: their goals and units do, but for ratios."""
    if "better" in details:
        return details["better"]
    if "goal" in details:
        return "more" if details["goal"].startswith(">=") else "less"
    return {"ratio": "", "tokens/s": "more", "GB/s": "more", "GFLOP/s": "more"}.get(details["unit"], "less")


def confidence(median, q25, q75, runs):
    """The median's 95 % interval: median -+ 1.57 IQR / sqrt(n), the notch of McGill, Tukey and Larsen (1978)."""
    notch = 1.57 * (q75 - q25) / math.sqrt(runs)
    return median - notch, median + notch


def figures_of(report):
    """The figures of one benchmark's report, in its order."""
    figures = []
    for name, details in report["details"].items():
        median = details["median"]
        low, high = confidence(median, details.get("q25", median), details.get("q75", median), details["runs"])
        figures.append(
            Figure(
                bench=report["bench"],
                name=name,
                unit=details["unit"],
                median=median,
                low=low,
                high=high,
                least=details["min"],
                p95=details["p95"],
                runs=details["runs"],
                goal=details.get("goal", ""),
                better=better_of(details),
                counts=details["counts"],
            )
        )
    return figures


def load(path):
    """The benchmark reports of a file by name: of `bench.sh all`, or of a single benchmark."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ReportError(f'"{path}" cannot be read: {error.strerror}.') from error
    except ValueError as error:
        raise ReportError(f'"{path}" is no JSON: {error}.') from error
    reports = data.get("benchmarks", {data.get("bench"): data}) if isinstance(data, dict) else {}
    if not reports or any(not isinstance(report, dict) or "details" not in report for report in reports.values()):
        raise ReportError(f'"{path}" is not a report of a benchmark.')
    return reports


def number(value):
    """Four digits, with thousands apart."""
    if value == 0 or 0.001 <= abs(value) < 1e15:
        digits = max(0, 3 - math.floor(math.log10(abs(value)))) if value else 0
        text = f"{value:,.{min(digits, 6)}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.3e}"
