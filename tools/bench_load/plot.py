"""The summary as an SVG picture: a panel for each load, a bar of CPU per request for each proxy."""

from html import escape

from .summary import REFERENCE, Row

WIDTH = 760
MARGIN = 16
NAMES = 160
FIGURES = 110
BAR = 18
STEP = 26
TITLE = 34
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}"
    ".title{font-weight:600}"
    ".figure{fill:#57606a}"
    ".bar{fill:#9aa7b5}"
    f".{REFERENCE}{{fill:#b5302a}}"
    ".spread{stroke:#24292f;stroke-width:1.5}"
)


def plot(rows: list[Row]) -> str:
    """The whole picture; white behind it, since a page may be dark."""
    panels: dict[str, list[Row]] = {}
    for row in rows:
        panels.setdefault(row.title, []).append(row)
    parts, top = [], MARGIN
    for title, members in panels.items():
        parts += panel(title, members, top)
        top += TITLE + STEP * len(members) + MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" '
        f'viewBox="0 0 {WIDTH} {top}">\n<style>{STYLE}</style>\n'
        f'<rect width="{WIDTH}" height="{top}" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def panel(title: str, rows: list[Row], top: int) -> list[str]:
    """Cheapest first. The scale is the panel's own: what is compared stands in one panel."""
    ordered = sorted(rows, key=lambda row: row.cpu_us.median)
    most = max(row.cpu_us.high for row in ordered) or 1.0
    scale = (WIDTH - 2 * MARGIN - NAMES - FIGURES) / most
    heading = f"CPU µs per request: {title}"
    parts = [f'<text class="title" x="{MARGIN}" y="{top + 16}">{escape(heading)}</text>']
    for place, row in enumerate(ordered):
        parts += bar(row, top + TITLE + STEP * place, scale)
    return parts


def bar(row: Row, top: int, scale: float) -> list[str]:
    left, middle = MARGIN + NAMES, top + BAR / 2
    base = middle + 4.5
    cpu = row.cpu_us
    kind = f"bar {REFERENCE}" if row.proxy == REFERENCE else "bar"
    width = cpu.median * scale
    ends = [left + value * scale for value in (cpu.low, cpu.high)]
    return [
        f'<text x="{left - 8}" y="{base}" text-anchor="end">{escape(row.proxy)}</text>',
        f'<rect class="{kind}" x="{left}" y="{top}" width="{width:.1f}" height="{BAR}"/>',
        f'<line class="spread" x1="{ends[0]:.1f}" x2="{ends[1]:.1f}" y1="{middle}" y2="{middle}"/>',
        f'<text class="figure" x="{ends[1] + 8:.1f}" y="{base}">{cpu.median:.1f}</text>',
    ]
