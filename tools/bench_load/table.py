"""The summary as one table of Markdown that is read as plain text too."""

from .summary import Row, Spread

MIB = 1024 * 1024
HEAD = [
    "proxy",
    "CPU µs",
    "half of all",
    "pailou ÷ it",
    "half of all",
    "req/s",
    "p50 µs",
    "p99 µs",
    "p99.9 µs",
    "idle MiB",
    "loaded MiB",
    "start ms",
    "failed",
]
# Beyond this share of a core in other hands the figures say little.
DISTURBED = 0.05


def table(rows: list[Row]) -> str:
    """All rows under one head; a line with the load's words comes before the rows of each load."""
    lines = []
    for at, row in enumerate(rows):
        if at == 0 or rows[at - 1].title != row.title:
            lines.append([f"**{row.title}**", *[""] * (len(HEAD) - 1)])
        lines.append(cells(row))
    widths = [max(len(line[column]) for line in [HEAD, *lines]) for column in range(len(HEAD))]
    # The first column holds words, the others figures.
    rule = ["-" * widths[0], *["-" * (width - 1) + ":" for width in widths[1:]]]
    return "\n".join(join(line, widths) for line in [HEAD, rule, *lines]) + "\n"


def cells(row: Row) -> list[str]:
    return [
        row.proxy,
        f"{row.cpu_us.median:.1f}",
        between(row.cpu_us, 1),
        "" if row.ratio is None else f"{row.ratio.median:.2f}",
        "" if row.ratio is None else between(row.ratio, 2),
        f"{row.requests_per_second:,.0f}",
        f"{row.p50_us:,.0f}",
        f"{row.p99_us:,.0f}",
        f"{row.p999_us:,.0f}",
        f"{row.idle_rss_bytes / MIB:.1f}",
        f"{row.loaded_rss_bytes / MIB:.1f}",
        f"{row.start_seconds * 1000:,.0f}",
        str(row.failed) if row.failed else "",
    ]


def between(spread: Spread, digits: int) -> str:
    return f"{spread.low:.{digits}f}–{spread.high:.{digits}f}"


def join(line: list[str], widths: list[int]) -> str:
    first = line[0].ljust(widths[0])
    rest = [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
    return "| " + " | ".join([first, *rest]) + " |"


def noise(rows: list[Row]) -> str:
    """How much others took of the proxies' cores, and what follows."""
    known = [row.disturbed for row in rows if row.disturbed is not None]
    if not known:
        return "How busy others were is not known: proxies and load had the same cores."
    most = max(known)
    said = f"Others had up to {most:.0%} of the proxies' cores (the median of the rounds)."
    if most > DISTURBED:
        said += " That is too much for absolute figures: read the ratios, or repeat."
    return said
