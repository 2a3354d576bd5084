"""A page with tables and plots of the reports of benchmarks."""

import html
import json
import math

from figures import figures_of, number

STYLE = """
:root { color-scheme: light dark; --text: #1c2530; --soft: #5b6775; --line: #d5dbe2; --ground: #ffffff;
  --good: #1f7a5c; --bad: #b4552d; --none: #4a6fa5; --peer: #a9b4c0; }
@media (prefers-color-scheme: dark) { :root { --text: #e6ebf0; --soft: #9aa7b5; --line: #36414d; --ground: #151b22;
  --good: #58c49b; --bad: #e08a5f; --none: #7fa6dd; --peer: #5d6b7a; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--ground); max-width: 60rem;
  margin: 2.5rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; } h2 { font-size: 1.2rem; margin-top: 2.6rem; }
p.facts, td.counts, figcaption { color: var(--soft); font-size: .85rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; font-size: .85rem; color: var(--soft); }
th, td { padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.value { white-space: nowrap; } td.yes { color: var(--good); } td.no { color: var(--bad); }
figure { margin: 1rem 0; } svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--text); font: 12px system-ui, sans-serif; } svg text.soft { fill: var(--soft); }
code { font-size: .9em; }
"""

WIDTH, LABELS, VALUES, ROW = 860, 250, 130, 22


class Svg:
    """Shapes of one picture, of WIDTH units."""

    def __init__(self, height, title):
        self.height = height
        self.parts = [f"<title>{html.escape(title)}</title>"]

    def line(self, x1, y1, x2, y2, color, width=1, dash=""):
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="var(--{color})" '
            f'stroke-width="{width}"{dashes}/>'
        )

    def dot(self, x, y, color):
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="var(--{color})"/>')

    def bar(self, x, y, width, height, color):
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2" fill="var(--{color})"/>'
        )

    def text(self, x, y, words, anchor="start", soft=False):
        kind = ' class="soft"' if soft else ""
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kind}>{html.escape(words)}</text>')

    def __str__(self):
        return (
            f'<svg viewBox="0 0 {WIDTH} {self.height:.0f}" role="img" xmlns="http://www.w3.org/2000/svg">'
            + "".join(self.parts)
            + "</svg>"
        )


def against_goals(figures):
    """How many times better than its goal each figure is, on a logarithmic axis: right of the line it is reached."""
    rows = []
    for figure in figures:
        goal = float(figure.goal.split()[1])
        ends = (figure.median, figure.least, figure.p95)
        if goal <= 0 or min(ends) <= 0:
            continue
        times = [end / goal if figure.better == "more" else goal / end for end in ends]
        rows.append((figure, times[0], min(times), max(times)))
    if not rows:
        return ""
    reach = max(1.0, *(abs(math.log10(t)) for _, *times in rows for t in times)) * 1.05
    left, right = LABELS, WIDTH - VALUES
    centre, half = (left + right) / 2, (right - left) / 2

    def x(times):
        return centre + half * math.log10(times) / reach

    svg = Svg(ROW * len(rows) + 34, "Figures against their goals")
    bottom = ROW * len(rows) + 6
    for power in range(-math.floor(reach), math.floor(reach) + 1):
        at = x(10.0**power)
        svg.line(at, 4, at, bottom, "soft" if power == 0 else "line", 1, "" if power == 0 else "2 4")
        svg.text(at, bottom + 16, "goal" if power == 0 else f"{number(10.0 ** power)} x", "middle", soft=True)
    for i, (figure, times, low, high) in enumerate(rows):
        y = ROW * i + 16
        color = "good" if figure.reached else "bad"
        svg.text(LABELS - 12, y + 4, figure.name, "end")
        svg.line(x(low), y, x(high), y, color, 2)
        svg.dot(x(times), y, color)
        svg.text(right + 12, y + 4, f"{number(figure.median)} {figure.unit}", soft=True)
    return (
        f"<figure>{svg}<figcaption>How many times better than its goal each figure is: the dot is the median, the line "
        "goes from the best run to the 95th percentile.</figcaption></figure>"
    )


def against_peers(speeds):
    """Bars of both sides' speed in tokens/s; the peer that was counted is named."""
    svg = Svg((ROW * 2 + 8) * len(speeds) + 6, "Tokens per second")
    most = max(value for sides in speeds.values() for value in sides.values() if isinstance(value, (int, float)))
    room = WIDTH - LABELS - VALUES
    y = 6
    for name, sides in speeds.items():
        counted = sides["counted"]
        svg.text(LABELS - 12, y + ROW, name, "end")
        for side, color in (("driftwood", "none"), (counted, "peer")):
            width = room * sides[side] / most
            svg.bar(LABELS, y + 3, max(width, 1), ROW - 6, color)
            svg.text(LABELS + width + 8, y + 15, f"{number(sides[side])}  {side}", soft=True)
            y += ROW
        y += 8
    return f"<figure>{svg}<figcaption>Tokens per second, beside the faster of the peers.</figcaption></figure>"


def table(figures):
    rows = ["<tr><th>figure</th><th>median</th><th>min to p95</th><th>runs</th><th>goal</th><th>what it counts</th></tr>"]
    for figure in figures:
        kind = {None: "value", True: "value yes", False: "value no"}[figure.reached]
        goal = "" if figure.reached is None else f"{figure.goal} {'✓' if figure.reached else '✗'}"
        cells = [
            ("value", f"<code>{html.escape(figure.name)}</code>"),
            ("value", html.escape(f"{number(figure.median)} {figure.unit}")),
            ("value", f"{number(figure.least)} to {number(figure.p95)}"),
            ("value", str(figure.runs)),
            (kind, html.escape(goal)),
            ("counts", html.escape(figure.counts)),
        ]
        rows.append("<tr>" + "".join(f'<td class="{name}">{cell}</td>' for name, cell in cells) + "</tr>")
    return "<table>" + "".join(rows) + "</table>"


def facts_of(report):
    """What a report says beside its figures, the machine and what is drawn."""
    drawn = {"bench", "machine", "details", "short", "tokens_per_s"}
    return {name: value for name, value in report.items() if name not in drawn and name not in report["details"]}


def section(name, report):
    figures = figures_of(report)
    parts = [f"<h2>{html.escape(name)}</h2>", against_goals([figure for figure in figures if figure.goal])]
    if speeds := report.get("tokens_per_s"):
        parts.append(against_peers(speeds))
    parts.append(table(figures))
    facts = [f"{fact}: {json.dumps(value)}" for fact, value in facts_of(report).items()]
    parts += [f'<p class="facts">{html.escape(words)}</p>' for words in facts]
    return "\n".join(parts)


def page(reports, left_out=None):
    """`left_out`: sentences by the names of benchmarks that have no report."""
    machine = next(iter(reports.values()))["machine"]
    facts = [
        f"{machine['processor']}, {machine['cores']} cores",
        machine["system"],
        f"{machine['memory_bytes'] / 2**30:.0f} GiB",
        f"{machine.get('compiler', '')}, {machine.get('build', '')}",
    ]
    versions = machine.get("versions", {})
    facts += [f"{name} {version}" for name, version in versions.items() if isinstance(version, str)]
    loads = [r["machine"]["load"] for r in reports.values() if r["machine"].get("load") is not None]
    if loads:
        facts.append(f"load {min(loads):.1f} to {max(loads):.1f}")
    if any(report.get("short") for report in reports.values()):
        facts.append("short runs")
    sections = "\n".join(section(name, report) for name, report in reports.items())
    for name, sentence in (left_out or {}).items():
        sections += f"<h2>{html.escape(name)}</h2><p>Left out: {html.escape(sentence)}</p>"
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Driftwood: benchmarks</title><style>{STYLE}</style>
<h1>Driftwood: benchmarks</h1>
<p class="facts">{html.escape(" · ".join(facts))}</p>
<p>A figure is the median of its runs. Ratios are of neighbouring measurements in one process, so that what slows the
machine slows both sides. Compare two reports with <code>bench/compare BEFORE.json AFTER.json</code>.</p>
{sections}
</html>"""

