"""Draws a template's graph: as Mermaid, with everything, and as SVG, with what an image goes through."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from html import escape

from docs.graph import Edge, Graph, Group, Node

# ---- Mermaid --------------------------------------------------------------------------------------------------------

_SHAPES: dict[Group, tuple[str, str]] = {
    "storage": ("[(", ")]"),
    "messages": ("([", "])"),
    "compute": ("[", "]"),
    "intelligence": ("{{", "}}"),
    "watching": ("[/", "/]"),
    "stacks": ("[[", "]]"),
}
_ARROWS = {"event": "-->", "poll": "-->", "call": "-->", "failure": "-.->", "watch": "-.->", "notify": "-->"}


def mermaid(graph: Graph) -> str:
    """The whole graph as a Mermaid flowchart. Dashed arrows: where failures go, and what alarms measure."""
    lines = ["flowchart LR"]
    shown = [node for node in graph.nodes if not node.only_at_deletion]
    lines += [f"    {_mermaid_node(node)}" for node in sorted(shown, key=lambda node: node.group != "intelligence")]
    late = [node for node in graph.nodes if node.only_at_deletion]
    if late:
        lines.append('    subgraph deletion ["only when the stack is made, changed or deleted"]')
        lines += [f"        {_mermaid_node(node)}" for node in late]
        lines.append("    end")
    # The layout follows the order: first the way of an input, and last what works at deletion only.
    kinds = list(_ARROWS)
    late_ids = {node.id for node in late}
    for edge in sorted(graph.edges, key=lambda edge: (edge.source in late_ids, kinds.index(edge.kind))):
        label = f'|"{edge.label}"|' if edge.label else ""
        lines.append(f"    {edge.source} {_ARROWS[edge.kind]}{label} {edge.target}")
    return "\n".join(lines)


def _mermaid_node(node: Node) -> str:
    left, right = _SHAPES[node.group]
    text = f"<b>{node.kind}</b><br/>{node.name}" if node.name else f"<b>{node.kind}</b>"
    return f'{node.id}{left}"{text}"{right}'


# ---- SVG ------------------------------------------------------------------------------------------------------------

_WIDTH, _HEIGHT = 192, 70
_COLUMN, _ROW = 278, 106
_MARGIN = 16
_NAME_CHARACTERS, _LABEL_CHARACTERS = 22, 13

_COLOURS: dict[Group, tuple[str, str]] = {
    # accent in a light picture, in a dark one
    "storage": ("#1a7f37", "#3fb950"),
    "messages": ("#bf3989", "#f778ba"),
    "compute": ("#bc4c00", "#f0883e"),
    "intelligence": ("#0a7a74", "#39c5bb"),
    "watching": ("#6639ba", "#a371f7"),
    "stacks": ("#59636e", "#9198a1"),
}


@dataclass(frozen=True)
class _Place:
    """Where a box stands: column and row, from 0."""

    column: int
    row: int

    @property
    def x(self) -> int:
        return _MARGIN + self.column * _COLUMN

    @property
    def y(self) -> int:
        return _MARGIN + self.row * _ROW


def svg(graph: Graph, title: str, description: str) -> str:
    """The way of one input through the graph, left to right, failures and alarms below.

    Left out: logs and traces, and what works only when the stack itself is changed. For light and for dark pages.
    """
    shown = _simplified(graph)
    # A key that only services use has no arrow, and is no part of the way.
    connected = {end for edge in shown.edges for end in (edge.source, edge.target)}
    shown = shown.without(*(node.id for node in shown.nodes if node.id not in connected))
    places = _layout(shown)
    columns = max(place.column for place in places.values()) + 1
    rows = max(place.row for place in places.values()) + 1
    width = 2 * _MARGIN + (columns - 1) * _COLUMN + _WIDTH
    height = _MARGIN + (rows - 1) * _ROW + _HEIGHT + _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        ' role="img" aria-labelledby="title description">',
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="description">{escape(description)}</desc>',
        _style(),
        '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7"'
        ' orient="auto-start-reverse"><path class="head" d="M0 0 10 5 0 10z"/></marker></defs>',
        f'<rect class="page" width="{width}" height="{height}" rx="10"/>',
        *(_draw_edge(edge, places) for edge in shown.edges),
        *(_draw_label(edge, places) for edge in shown.edges),
        *(_draw_node(node, places[node.id]) for node in shown.nodes),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _simplified(graph: Graph) -> Graph:
    """Without logs, traces and what works at deletion only, and with one box for all alarms."""
    hidden = [
        node.id
        for node in graph.nodes
        if node.only_at_deletion or (node.group == "watching" and "alarm" not in node.kind)
    ]
    graph = graph.without(*hidden)
    alarms = [node for node in graph.nodes if "alarm" in node.kind]
    if not alarms:
        return graph
    first = alarms[0].id
    names = tuple(name for node in alarms for name in node.names)
    one = Node(first, f"{len(names)} CloudWatch alarms" if len(names) > 1 else alarms[0].kind, "watching", ("",))
    renamed = {node.id: first for node in alarms}
    nodes = tuple(node for node in graph.nodes if node.id not in renamed)
    edges = dict.fromkeys(
        Edge(
            renamed.get(edge.source, edge.source),
            renamed.get(edge.target, edge.target),
            edge.kind,
            "" if edge.kind == "watch" else edge.label,
        )
        for edge in graph.edges
    )
    return Graph((*nodes, one), tuple(edges))


def _layout(graph: Graph) -> dict[str, _Place]:
    """Columns by distance from where the flow starts; failures and alarms in the row below the flow."""
    flow = _flow_columns(graph)
    calls = [edge for edge in graph.edges if edge.kind == "call" and edge.target not in flow]
    called = list(dict.fromkeys(edge.target for edge in calls))
    places = {node_id: _Place(column, 1) for node_id, column in flow.items()}
    for row, node_id in enumerate(sorted(called, key=lambda node_id: graph.node(node_id).group != "intelligence")):
        column = max(flow[edge.source] for edge in calls if edge.target == node_id) + 1
        places[node_id] = _Place(column, row)
    below = max(place.row for place in places.values()) + 1
    # In this order: an alarm watches where failures go, and a topic hears of the alarm.
    for kind, further in (("failure", 0), ("watch", 0), ("notify", 1)):
        for target in dict.fromkeys(edge.target for edge in graph.edges if edge.kind == kind):
            if target not in places:
                sources = [places[e.source].column for e in graph.edges if e.target == target and e.source in places]
                places[target] = _Place(max(sources) + further, below)
    return {node.id: places[node.id] for node in graph.nodes}


def _flow_columns(graph: Graph) -> dict[str, int]:
    """How many steps each box is from where the flow starts."""
    steps = [edge for edge in graph.edges if edge.kind in ("event", "poll")]
    columns = {edge.source: 0 for edge in steps if edge.source not in {other.target for other in steps}}
    for _ in graph.nodes:
        for edge in steps:
            if edge.source in columns:
                columns[edge.target] = max(columns.get(edge.target, 0), columns[edge.source] + 1)
    return columns


def _draw_node(node: Node, place: _Place) -> str:
    lines = textwrap.wrap(node.name, _NAME_CHARACTERS)[:2]
    middle = place.y + _HEIGHT / 2 - 9 * len(lines) + 5
    texts = [f'<text class="kind" x="{place.x + 16}" y="{middle:g}">{escape(node.kind)}</text>']
    texts += [
        f'<text class="name" x="{place.x + 16}" y="{middle + 18 * (index + 1):g}">{escape(line)}</text>'
        for index, line in enumerate(lines)
    ]
    return (
        f'<g class="{node.group}"><rect class="box" x="{place.x}" y="{place.y}" width="{_WIDTH}" height="{_HEIGHT}"'
        f' rx="8"/><rect class="stripe" x="{place.x}" y="{place.y + 10}" width="4" height="{_HEIGHT - 20}" rx="2"/>'
        + "".join(texts)
        + "</g>"
    )


def _draw_edge(edge: Edge, places: dict[str, _Place]) -> str:
    path, _ = _way(edge, places)
    return f'<path class="edge {edge.kind}" d="{path}" marker-end="url(#head)"/>'


def _draw_label(edge: Edge, places: dict[str, _Place]) -> str:
    _, (x, y, anchor) = _way(edge, places)
    lines = textwrap.wrap(edge.label, _LABEL_CHARACTERS)
    return "".join(
        f'<text class="label" x="{x:g}" y="{y - 15 * (len(lines) - 1 - index):g}" text-anchor="{anchor}">'
        f"{escape(line)}</text>"
        for index, line in enumerate(lines)
    )


def _way(edge: Edge, places: dict[str, _Place]) -> tuple[str, tuple[float, float, str]]:
    """The path of an arrow, and where its label stands: x, y of the last line, anchor."""
    start, end = places[edge.source], places[edge.target]
    if start.column == end.column:
        x = start.x + _WIDTH / 2
        return f"M{x:g} {start.y + _HEIGHT}V{end.y - 3}", (x + 8, (start.y + _HEIGHT + end.y) / 2 + 8, "start")
    if start.column > end.column:
        x1, x2 = start.x + _WIDTH / 2, end.x + _WIDTH / 2
        path = f"M{x1:g} {start.y}C{x1:g} {start.y - 76} {x2:g} {end.y - 76} {x2:g} {end.y - 3}"
        return path, ((x1 + x2) / 2, start.y - 64, "middle")
    x1, y1 = start.x + _WIDTH, start.y + _HEIGHT / 2
    x2, y2 = end.x - 3, end.y + _HEIGHT / 2
    bend = (x1 + x2) / 2
    # Arrows that start together have parted at their far end: that is where labels do not meet.
    label = (bend, y1 - 8, "middle") if y1 == y2 else (x2 - 8, y2 - 9, "end")
    return f"M{x1} {y1:g}C{bend:g} {y1:g} {bend:g} {y2:g} {x2} {y2:g}", label


def _style() -> str:
    def rules(dark: bool) -> str:
        page, box, line, text, soft = (
            ("#0d1117", "#161b22", "#3d444d", "#e6edf3", "#9198a1")
            if dark
            else ("#ffffff", "#f6f8fa", "#d1d9e0", "#1f2328", "#59636e")
        )
        return (
            f".page{{fill:{page}}}.box{{fill:{box};stroke:{line}}}.kind{{fill:{text}}}.name,.label{{fill:{soft}}}"
            f".label{{stroke:{page}}}"
            f".edge{{stroke:{soft}}}.head{{fill:{soft}}}"
            + "".join(f".{group} .stripe{{fill:{colours[dark]}}}" for group, colours in _COLOURS.items())
        )

    return (
        "<style>text{font-family:-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;font-size:14px}"
        ".kind{font-weight:600;font-size:15.5px}.edge{fill:none;stroke-width:1.5}"
        ".failure,.watch{stroke-dasharray:5 4}.label{stroke-width:5;paint-order:stroke;stroke-linejoin:round}"
        f"{rules(False)}@media (prefers-color-scheme:dark){{{rules(True)}}}</style>"
    )
