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
    low: float | None  # the median's notch; None where it is unknown
    high: float | None
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


FEWEST_RUNS = 5  # the quartiles of fewer say nothing of the noise


def notch_of(details):
    """median -+ 1.57 IQR / sqrt(n), from McGill, Tukey and Larsen (1978): where the notches of two medians do not
    overlap, they differ at a level of about 95 %. None, None: of too few runs, or without quartiles."""
    if details["runs"] < FEWEST_RUNS or "q25" not in details:
        return None, None
    notch = 1.57 * (details["q75"] - details["q25"]) / math.sqrt(details["runs"])
    return details["median"] - notch, details["median"] + notch


def figures_of(report):
    """The figures of one benchmark's report, in its order."""
    figures = []
    for name, details in report["details"].items():
        low, high = notch_of(details)
        figures.append(
            Figure(
                bench=report["bench"],
                name=name,
                unit=details["unit"],
                median=details["median"],
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
