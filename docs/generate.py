"""Writes the generated parts of the pages: `make docs`, or `python -m docs.generate`.

A generated part stands between `<!-- generated: NAME -->` and `<!-- end -->`; all around it is written by hand. The
parts come from the catalogue, `services.toml`, `docs/prices.toml` and the synthesized templates. A test makes them
anew and compares, so that none can go stale.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from docs import drawing, graph, pipeline_graph, power, records, state_graph
from scenarios.access_matrix import CELLS, PERSONS
from scenarios.matrix import MATRIX, SITUATIONS, DoesNotApply
from stacks.catalogue import ARCHITECTURES, PAGES, THEMES, Architecture, available
from stacks.policy import compliance
from stacks.policy.idle_cost import MONTHLY, units
from stacks.policy.services import table
from stacks.policy.template import read

# What it is that costs something, in words.
IDLE_TEXTS = {
    "AWS::CloudWatch::Alarm": "alarm",
    "AWS::CloudWatch::CompositeAlarm": "composite alarm",
    "AWS::CloudWatch::Dashboard": "dashboard",
    "AWS::EC2::VPCEndpoint": "interface endpoint in one zone, 720 hours",
    "AWS::KMS::Key": "own key",
    "AWS::SageMaker::NotebookInstance": "notebook instance that is never stopped, 730 hours",
    "Custom::ReplicaBucket": "replica of a key in the second region",
    "AWS::SecretsManager::Secret": "secret",
    "AWS::Lambda::EventSourceMapping": "empty queue that Lambda polls, 648,000 requests",
}

ROOT = Path(__file__).resolve().parents[1]

THEME_TITLES = {
    "vision": "Vision",
    "documents": "Documents",
    "language": "Speech and language",
    "recommend": "Recommendation, forecasting, anomalies",
    "ingest": "Collecting and preparing data",
    "train": "Training and evaluation",
    "serve": "Serving",
    "operate": "Operating",
    "secure": "Security",
}


@dataclass(frozen=True)
class CostLine:
    """One line of a bill. `price` is US dollars for one of `quantity`."""

    what: str
    quantity: float
    price: float
    unit: str

    @property
    def usd(self) -> float:
        return self.quantity * self.price


def write_all(assembly: Path) -> list[Path]:
    """Writes every generated file and part, and returns the files that changed.

    `assembly` holds the synthesized template of every stack, with default settings.
    """
    changed = []
    for path, text in generated(assembly).items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed


def generated(assembly: Path) -> dict[Path, str]:
    """What every file with a generated part should hold, by path. Raises LookupError for a part nobody generates."""
    found, template_of = power.measured(), read_templates(assembly)
    parts = {
        "catalogue": catalogue_tables(),
        "services": services_table(),
        "pages": pages_list(),
        "monitor power": power.table(found),
        "access matrix": access_table(),
        "records": records.table(records.read()),
        **compliance_parts(assembly),
    }
    files = {ROOT / "docs/images/model-monitor-power.svg": power.svg(found)}
    for architecture in available():
        template = template_of[architecture.id]
        drawn = graph.read(template)
        parts |= {
            f"{architecture.id} diagram": f"```mermaid\n{drawing.mermaid(drawn)}\n```",
            f"{architecture.id} settings": settings_table(architecture),
            f"{architecture.id} failures": failures_table(architecture),
            f"{architecture.id} permissions": permissions_table(template),
            f"{architecture.id} idle cost": idle_table(template),
            f"{architecture.id} cost": thousand_table(architecture.id),
        }
        if pipelines := pipeline_graph.definitions(template):
            parts[f"{architecture.id} steps"] = _drawn(pipelines, pipeline_graph.mermaid)
        if machines := state_graph.definitions(template):
            parts[f"{architecture.id} states"] = _drawn(machines, state_graph.mermaid)
        flows = any(edge.kind in ("event", "poll") for edge in drawn.edges)
        if machines or architecture.needs or architecture.theme == "secure" or not flows:
            # Its parts have no one way from left to right, which a picture could show.
            continue
        files[ROOT / f"docs/images/{architecture.id}.svg"] = drawing.svg(drawn, architecture.title, architecture.flow)
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        files[page] = filled(page.read_text(encoding="utf-8"), parts)
    return files


def compliance_parts(assembly: Path) -> dict[str, str]:
    """The report over all stacks, those that are still being built among them, and what is acknowledged in them."""
    templates = read(assembly)
    return {
        "compliance table": compliance.table(compliance.rows(templates, compliance.reported(assembly))),
        "compliance findings": compliance.findings([one for one in ARCHITECTURES if one.stack]),
        "compliance rest": ", ".join(f"`{kind}`" for kind in compliance.not_looked_at(templates)) + ".",
    }


def filled(text: str, parts: Mapping[str, str]) -> str:
    """A page with its generated parts made anew. Raises LookupError for a part that nobody generates."""

    def fill(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in parts:
            raise LookupError(f"Nothing generates {name!r}. There are: {', '.join(sorted(parts))}.")
        return f"<!-- generated: {name} -->\n\n{parts[name]}\n\n<!-- end -->"

    return re.sub(r"<!-- generated: (?P<name>[^>]+?) -->.*?<!-- end -->", fill, text, flags=re.DOTALL)


def _drawn(definitions: Mapping[str, Mapping[str, Any]], draw: Callable[[Mapping[str, Any]], str]) -> str:
    """Each state machine or pipeline, drawn; named where there are several."""
    drawn = {name: f"```mermaid\n{draw(definition)}\n```" for name, definition in definitions.items()}
    if len(drawn) == 1:
        return next(iter(drawn.values()))
    return "\n\n".join(f"**{name}**\n\n{picture}" for name, picture in drawn.items())


def catalogue_tables() -> str:
    """What is built in one table, what is planned in one table a theme, folded away."""
    built = [(a.id, _linked(a), a.story, _idle(a), _dollars(a.cost_per_thousand)) for a in available()]
    lines = [
        f"**{len(built)} of {len(ARCHITECTURES)} {'is' if len(built) == 1 else 'are'} built.** Costs are US dollars in"
        " us-east-1 without free tier; the page of each shows the sum.",
        "",
        *_table(("Architecture", "What for", "idle, a month", "per 1,000 inputs"), (row[1:] for row in built)),
        "",
    ]
    for theme in THEMES:
        planned = [a for a in ARCHITECTURES if a.theme == theme and a.status == "planned"]
        if planned:
            rows = [(f"`{a.id}`", a.title, _today(a)) for a in planned]
            lines += [
                "<details>",
                f"<summary>{THEME_TITLES[theme]}: {len(planned)} planned</summary>",
                "",
                *_table(("Architecture", "What it does", "What a new account uses instead"), rows),
                "",
                "</details>",
            ]
    return "\n".join(lines)


def services_table() -> str:
    """Every service that a new account cannot use, and what serves in its place."""
    entries = table()["service"]
    rows = [
        (
            f"[{entry['title']}]({entry['source']['url']})",
            entry["status"],
            str(entry.get("since", "not found")),
            entry["alternative"],
            entry["verified"],
        )
        for entry in sorted(entries.values(), key=lambda entry: entry["title"])
        if entry["status"] != "available"
    ]
    return "\n".join(_table(("Service", "Status", "Since", "What serves today", "What the source confirms"), rows))


def pages_list() -> str:
    return ", ".join(page.name for page in PAGES) + "."


def permissions_table(template: graph.Template) -> str:
    """Every grant of every role, as the template has it."""
    granted: dict[tuple[str, str], list[str]] = {}
    for function, action, resource in graph.permissions(template):
        granted.setdefault((function, resource), []).append(action)
    rows = [
        (function, ", ".join(f"`{action}`" for action in actions), f"`{resource}`")
        for (function, resource), actions in granted.items()
    ]
    return "\n".join(_table(("Who", "may", "on"), rows))


def access_table() -> str:
    """Who may do what in access-control, and which statement says so."""
    lines = []
    for person, title in PERSONS.items():
        rows = [
            (
                f"{cell.wish}{' (with `*` attached)' if cell.widened else ''}",
                f"`{cell.action}`",
                "yes" if cell.allowed else "**no**",
                f"{cell.layer}: `{cell.by}`",
                "" if cell.call else cell.why_not,
            )
            for cell in CELLS
            if cell.person == person
        ]
        header = (f"{title[0].upper()}{title[1:]} wants to", "action", "may", "by", "simulated only, because")
        lines += [*_table(header, rows), ""]
    refused = sum(not cell.allowed for cell in CELLS)
    return "\n".join([f"{len(CELLS)} requests, {refused} of them refused.", "", *lines]).rstrip()


def failures_table(architecture: Architecture) -> str:
    """What can go wrong, and the tests that show how it is stood; links are seen from the architecture's page."""
    rows = []
    for situation in SITUATIONS:
        cell = MATRIX[architecture.id][situation.id]
        if isinstance(cell, DoesNotApply):
            answer = f"cannot arise: {cell.reason}"
        else:
            answer = "<br>".join(_linked_test(test) for test in cell.tests)
        rows.append((situation.question, answer))
    return "\n".join(_table(("Question", "Answered by"), rows))


def _linked_test(dotted: str) -> str:
    module, _, name = dotted.rpartition(".")
    return f"[{name.removeprefix('test_').replace('_', ' ')}](../../{module.replace('.', '/')}.py)"


def settings_table(architecture: Architecture) -> str:
    """Name, default, bounds and meaning of each setting, as the stack declares them."""
    schema = _settings_schema(architecture)
    rows = []
    for name, field in schema["properties"].items():
        options = [field, *field.get("anyOf", [])]
        bounds = [f"{option['minimum']:.10g} to {option['maximum']:.10g}" for option in options if "minimum" in option]
        bounds += [" or ".join(f"`{value}`" for value in option["enum"]) for option in options if "enum" in option]
        # A bar would end the table's cell, in code too.
        bounds += ["`" + option["pattern"].replace("|", r"\|") + "`" for option in options if "pattern" in option]
        default = "none" if field.get("default") is None else f"`{field['default']}`"
        rows.append((f"`{name}`", default, "; ".join(bounds), field.get("description", "")))
    return "\n".join(_table(("Setting", "Default", "Allowed", "Meaning"), rows))


def _settings_schema(architecture: Architecture) -> dict[str, Any]:
    from app import use_bundled_node

    # Before a stack imports CDK, which would take whatever Node there is.
    use_bundled_node()
    assert architecture.stack
    module, _, name = architecture.stack.partition(":")
    schema: dict[str, Any] = getattr(import_module(module), name).Settings.model_json_schema()
    return schema


def idle_table(template: graph.Template) -> str:
    return _sum_table(idle_lines(template), "US dollars a month")


def thousand_table(architecture_id: str) -> str:
    return _sum_table(thousand_lines(architecture_id), "US dollars")


def idle_lines(template: graph.Template) -> list[CostLine]:
    """What a stack costs a month while nothing happens: its resources of the types that cost something then."""
    counts: Counter[str] = Counter()
    for resource in template["Resources"].values():
        counts[resource["Type"]] += units(resource)
    return [
        CostLine(IDLE_TEXTS[type_], counts[type_], usd, "each")
        for type_, usd in sorted(MONTHLY.items(), key=lambda item: -item[1])
        if usd and counts[type_]
    ]


def thousand_lines(architecture_id: str) -> list[CostLine]:
    """What a thousand inputs of an architecture cost."""
    return [
        CostLine(line["what"], line["quantity"], **_price(line["price"]))
        for line in prices()["thousand"][architecture_id]
    ]


def total(lines: Iterable[CostLine]) -> float:
    """US dollars, to the cent."""
    return round(sum(line.usd for line in lines), 2)


def _price(name: str) -> dict[str, Any]:
    price = prices()["price"][name]
    return {"price": price["usd"], "unit": price["unit"]}


def _sum_table(lines: list[CostLine], head: str) -> str:
    rows = [
        (line.what, f"{line.quantity:,.10g}", f"{_exactly(line.price)} {line.unit}", _dollars(line.usd))
        for line in lines
    ]
    rows.append(("**together**", "", "", f"**{total(lines):.2f}**"))
    return "\n".join(_table(("What", "How many", "Price", head), rows))


@cache
def prices() -> dict[str, Any]:
    """The parsed `docs/prices.toml`."""
    toml = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    parsed: dict[str, Any] = toml.loads((ROOT / "docs/prices.toml").read_text(encoding="utf-8"))
    return parsed


def _today(architecture: Architecture) -> str:
    """What the default does where the material used a service that is closed now."""
    services = table()["service"]
    happened = {"closed": "is closed", "ended": "has ended"}
    texts = []
    for restriction in architecture.availability:
        entry = services[restriction.service]
        title = entry["title"].partition(" (")[0]
        texts.append(f"{restriction.default}, as {title} {happened[entry['status']]}")
    return "; ".join(texts)


def _idle(architecture: Architecture) -> str:
    more = f", and {architecture.cost_standing:.0f} while its endpoint stands" if architecture.cost_standing else ""
    return _dollars(architecture.cost_idle) + more


def _linked(architecture: Architecture) -> str:
    return f"[`{architecture.id}`]({architecture.page})"


def _dollars(usd: float | None) -> str:
    """`3.40`, `0.005`, `0.0000002`: at least cents, and no rounding of what is smaller."""
    if usd is None:
        return ""
    return _exactly(usd) if usd < 0.1 else f"{usd:.2f}"


def _exactly(usd: float) -> str:
    """`3.40`, `0.115`: at least cents, and no rounding."""
    return max(f"{usd:.10f}".rstrip("0"), f"{usd:.2f}", key=len)


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    body = [f"| {' | '.join(row)} |" for row in rows]
    return [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}", *body]


def read_templates(assembly: Path) -> dict[str, graph.Template]:
    """The template of each available architecture in a cloud assembly."""
    return {
        architecture.id: json.loads((assembly / f"{architecture.id}.template.json").read_text(encoding="utf-8"))
        for architecture in available()
    }


def main() -> int:
    from local.assembly import synthesize

    for path in write_all(synthesize(None, "lambda")):
        print(f"written: {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
