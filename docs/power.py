"""What the model monitor finds: the curves and the table of its page, from `pipelines/monitoring/power.json`.

`python -m pipelines.monitoring.power` measures them anew, which takes a minute; `docs.generate` only draws.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

MEASURED = Path(__file__).resolve().parents[1] / "pipelines" / "monitoring" / "power.json"

_WIDTH, _HEIGHT = 330, 190
_LEFT, _TOP, _RIGHT, _BOTTOM = 52, 34, 18, 46
_GAP = 24
_HEAD = 40
# A line for each number of rows: accent in a light picture, in a dark one, dashes.
_LINES = (("#0969da", "#58a6ff", ""), ("#bc4c00", "#f0883e", ""), ("#1a7f37", "#3fb950", "6 4"))
_ASKED = 0.95


def measured() -> dict[str, Any]:
    """The content of power.json."""
    found: dict[str, Any] = json.loads(MEASURED.read_text(encoding="utf-8"))
    return found


def svg(power: Mapping[str, Any]) -> str:
    """A panel for each change: the share of windows in which it is found, over its size, a line a number of rows."""
    panels: Sequence[Mapping[str, Any]] = power["curves"]
    width = 3 * _GAP + 2 * _WIDTH
    height = _HEAD + (_HEIGHT + _GAP) * ((len(panels) + 1) // 2)
    rows = list(panels[0]["found"])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        ' role="img" aria-labelledby="title description">',
        '<title id="title">What the model monitor finds</title>',
        f'<desc id="description">{escape(_described(panels))}</desc>',
        _style(),
        f'<rect class="page" width="{width}" height="{height}" rx="10"/>',
    ]
    for at, count in enumerate(rows):
        x = _GAP + _LEFT + 150 * at
        parts.append(f'<path class="line l{at}" d="M{x} 24h28"/><text x="{x + 36}" y="29">{int(count):,} rows</text>')
    for at, panel in enumerate(panels):
        x, y = _GAP + (at % 2) * (_WIDTH + _GAP), _HEAD + (at // 2) * (_HEIGHT + _GAP)
        parts.append(f'<g transform="translate({x} {y})">{_panel(panel)}</g>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _described(panels: Sequence[Mapping[str, Any]]) -> str:
    """The same in words, for those who do not see it."""
    texts = []
    for panel in panels:
        for rows, found in panel["found"].items():
            first = next((size for size, share in zip(panel["sizes"], found, strict=True) if share >= _ASKED), None)
            said = f"from {first:g} {panel['unit']} on" if first is not None else "at none of these sizes"
            texts.append(f"{panel['title']}, {rows} rows: found in 95 % of the windows {said}.")
    return " ".join(texts)


def _panel(panel: Mapping[str, Any]) -> str:
    sizes: list[float] = panel["sizes"]
    across, down = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def x(size: float) -> float:
        return _LEFT + across * size / float(sizes[-1])

    def y(share: float) -> float:
        return _TOP + down * (1 - share)

    parts = [f'<text class="name" x="{_LEFT}" y="18">{escape(panel["title"])}</text>']
    for share in (0, 0.5, 1):
        parts.append(f'<path class="grid" d="M{_LEFT} {y(share):g}h{across}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y(share) + 5:g}" text-anchor="end">{100 * share:g} %</text>')
    parts.append(f'<path class="asked" d="M{_LEFT} {y(_ASKED):g}h{across}"/>')
    percent = panel["unit"] != "standard deviations"
    for size in sizes:
        label = f"{100 * size:g}" if percent else f"{size:g}"
        parts.append(f'<text x="{x(size):.1f}" y="{_TOP + down + 18}" text-anchor="middle">{label}</text>')
    unit = {"points": "percentage points more", "share of rows": "% of the rows"}.get(panel["unit"], panel["unit"])
    parts.append(f'<text x="{_LEFT + across / 2:g}" y="{_TOP + down + 36}" text-anchor="middle">{escape(unit)}</text>')
    for at, found in enumerate(panel["found"].values()):
        points = [f"{x(size):.1f} {y(share):.1f}" for size, share in zip(sizes, found, strict=True)]
        parts.append(f'<path class="line l{at}" d="M{"L".join(points)}"/>')
        parts += [f'<circle class="c{at}" cx="{p.split()[0]}" cy="{p.split()[1]}" r="3"/>' for p in points]
    return "".join(parts)


def _style() -> str:
    def rules(dark: bool) -> str:
        page, line, text, soft = (
            ("#0d1117", "#3d444d", "#e6edf3", "#9198a1") if dark else ("#ffffff", "#d1d9e0", "#1f2328", "#59636e")
        )
        colours = "".join(f".l{at}{{stroke:{each[dark]}}}.c{at}{{fill:{each[dark]}}}" for at, each in enumerate(_LINES))
        return (
            f".page{{fill:{page};stroke:{line}}}text{{fill:{soft}}}.name{{fill:{text}}}"
            f".grid{{stroke:{line}}}.asked{{stroke:{soft}}}{colours}"
        )

    dashes = "".join(f".l{at}{{stroke-dasharray:{each[2]}}}" for at, each in enumerate(_LINES) if each[2])
    return (
        "<style>text{font-family:-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;font-size:13px}"
        ".name{font-weight:600;font-size:14.5px}.line{fill:none;stroke-width:2}.grid{stroke-width:1}"
        f".asked{{stroke-dasharray:2 4}}{dashes}"
        f"{rules(False)}@media (prefers-color-scheme:dark){{{rules(True)}}}</style>"
    )


def table(power: Mapping[str, Any]) -> str:
    """The changes that are asked about, and what finding them at 300 rows would cost."""
    rows = list(power["false_alarms"])
    heads = ["Change", *(f"{int(count):,} rows" for count in rows), "false alarms that 95 of 100 would cost, 300 rows"]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    alarms = [f"{power['false_alarms'][count]} of {power['windows']}" for count in rows]
    lines.append(f"| none: false alarms | {' | '.join(alarms)} | |")
    for each in power["asked"]:
        before = f" (from {100 * each['before']:.3g} %)" if each["before"] else ""
        shares = [f"{100 * each['found'][count]:.0f} %" for count in rows]
        lines.append(f"| {each['what']}{before} | {' | '.join(shares)} | {_price(each['price'])} |")
    return "\n".join(lines)


def _price(share: float | None) -> str:
    if share is None:
        return ""
    return f"{100 * share:.2g} %" if share >= 0.0001 else "under 0.01 %"
