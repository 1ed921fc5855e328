"""Writes the generated parts of the pages: `make docs`, or `python -m docs.generate`.

A generated part stands between `<!-- generated: NAME -->` and `<!-- end -->`; all around it is written by hand. The
parts come from the catalogue, `services.toml`, `prices.toml` and the synthesized templates. A test makes them
anew and compares, so that none can go stale.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from docs import drawing, graph, pipeline_graph, power, records, state_graph
from scenarios.access_matrix import CELLS, PERSONS
from scenarios.matrix import MATRIX, SITUATIONS, DoesNotApply
from stacks.catalogue import ARCHITECTURES, PAGES, THEMES, Architecture, available, with_needs
from stacks.policy import compliance, costs, names, prices, quotas, regions, registry, scale, scale_tables
from stacks.policy.costs import Line
from stacks.policy.idle_cost import used
from stacks.policy.services import table
from stacks.policy.template import Template as PolicyTemplate
from stacks.policy.template import read

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
        **deployability_parts(assembly),
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
            f"{architecture.id} workload": workload_table(architecture),
        }
        if architecture.id in scale.architectures():
            parts[f"{architecture.id} scale"] = scale_text(architecture)
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


def deployability_parts(assembly: Path) -> dict[str, str]:
    """In which regions each architecture runs, and how near the stacks come to the quotas of a new account."""
    templates = [one for one in read(assembly) if one.architecture in {built.id for built in available()}]
    return {
        "regions table": regions_table(templates),
        "quotas table": quotas_table(templates),
        "schemas": f"The schemas are of {registry.dated()}, for {len(registry.regions())} commercial regions.",
        "once": "\n".join(
            f"- `{architecture}`, `{kind}`: {reason}." for (architecture, kind), reason in sorted(names.ONCE.items())
        ),
    }


def regions_table(templates: Sequence[PolicyTemplate]) -> str:
    """Where all is there that an architecture and those that it needs use."""
    own = {template.architecture: set(regions.runs_in(template)) for template in templates}
    rows = []
    for architecture in available():
        there = set.intersection(*(own[one.id] for one in with_needs(architecture)))
        missing = sorted(set(registry.regions()) - there)
        if not missing:
            where = "all"
        elif len(missing) < len(there):
            where = f"all but {', '.join(missing)}"
        else:
            where = ", ".join(sorted(there))
        link = f"[{architecture.id}](architectures/{architecture.id}.md)"
        rows.append((link, str(len(there)), where))
    return "\n".join(_table(("Architecture", "Regions", "Which"), rows))


def quotas_table(templates: Sequence[PolicyTemplate]) -> str:
    """Every quota that is counted, with what the stacks take of it."""
    rows = []
    for name, quota in quotas.table().items():
        if quota["per"] in ("template", "resource"):
            where, amount = quotas.largest(templates, name)
            place = f" (`{where}`)" if amount else ""
        else:
            amount, place = quotas.together(templates, name, quota), " (all)"
        rows.append(
            (
                quota["title"],
                f"{_amount(quota['value'], quota['unit'])}",
                f"{_amount(amount, quota['unit'])}{place}",
                f"[{quota['source']['title']}]({quota['source']['url']}), {quota['source']['read']}",
                quota.get("confirmed", "*not confirmed*"),
            )
        )
    return "\n".join(_table(("Quota", "A new account", "The stacks", "Source", "What it confirms"), rows))


def _amount(amount: float, unit: str) -> str:
    """In megabytes where it is many bytes: how well a package is compressed differs a little between machines."""
    if unit == "bytes" and amount >= 2**20:
        return f"{math.ceil(amount / 2**20):,} MB"
    return f"{amount:,.0f} {unit.partition(' without ')[0]}"


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
    return _sum_table(costs.per_thousand(architecture_id), "US dollars")


def idle_lines(template: graph.Template) -> list[Line]:
    """What a stack costs a month while nothing happens: its resources of the types that cost something then."""
    quantities = {one: 0.0 for several in prices.standing().values() for one in several}
    for resource in template["Resources"].values():
        for one, quantity in used(resource):
            quantities[one] += quantity
    return [
        Line(one.what, quantity, one.price, one.price.of(quantity))
        for one, quantity in sorted(quantities.items(), key=lambda item: -item[0].usd)
        if quantity
    ]


def workload_table(architecture: Architecture) -> str:
    """What a month costs with some volumes a day, and the command that counts it for any."""
    assert architecture.cost_idle is not None
    given = costs.input_of(architecture.id)
    assumed = "".join(f" with {one.usual:.10g} {one.what}," for one in given.assumptions)
    rows = []
    for volume in given.volumes:
        bill = costs.workload(architecture.id, volume, architecture.cost_idle)
        name, share = bill.dominant
        each = bill.total / (volume * costs.DAYS) * 1000
        rows.append((f"{volume:,}", f"{bill.total:,.2f}", f"{each:,.2f}", f"{name}: {100 * share:.0f} %"))
    heads = (f"{given.many[0].upper()}{given.many[1:]} a day", "US dollars a month", "for each 1,000", "most of it")
    return "\n".join(
        [
            f"A month of {costs.DAYS} days,{assumed} with what stands idle and with the lower prices of large volumes:",
            "",
            *_table(heads, rows),
            "",
            "Any other volume, line by line:",
            "",
            "```sh",
            f"python -m local cost {architecture.id} --requests-per-day {given.volumes[-1] // 2}"
            + "".join(f" --assume {one.name}={2 * one.usual:.10g}" for one in given.assumptions),
            "```",
        ]
    )


def scale_text(architecture: Architecture) -> str:
    """How far an architecture goes on paper: what is full first, what becomes of each load, and what to raise."""
    assert architecture.cost_idle is not None
    burst = scale.usual_burst()
    default = scale.way(architecture.id)
    lines = [
        *(f"- {line}" for line in scale_tables.told(default, burst)),
        "",
        "What is full first, with the default settings and the quotas of a fresh account in us-east-1:",
        "",
        *_set(scale_tables.limits(default)),
        "",
        "What becomes of each load:",
        "",
        *_set(scale_tables.ladder(default, architecture.cost_idle, burst)),
    ]
    for variant in scale.variants(architecture.id):
        changed = {**variant.settings, **variant.quotas}
        named = ", ".join(f"`{name}` {value:,.10g}" for name, value in changed.items())
        one = scale.way(architecture.id, variant.quotas, variant.settings)
        lines += [
            "",
            f"The same {variant.says} ({named}):",
            "",
            # What is carried by default is carried by more, too.
            *_set(scale_tables.ladder(one, architecture.cost_idle, burst, scale.VOLUMES[-4:])),
        ]
    most = scale.VOLUMES[-1]
    return "\n".join(
        [
            *lines,
            "",
            f"What {most:,} a day need in their busiest hour:",
            "",
            *_set(scale_tables.raises(default, most)),
        ]
    )


def _set(table: scale_tables.Table) -> list[str]:
    return _table(table.heads, table.rows)


def _sum_table(lines: list[Line], head: str) -> str:
    rows = [
        (line.what, f"{line.quantity:,.10g}", f"{_exactly(line.price.usd)} {line.price.unit}", _dollars(line.usd))
        for line in lines
    ]
    rows.append(("**together**", "", "", f"**{costs.total(lines):.2f}**"))
    return "\n".join(_table(("What", "How many", "Price", head), rows))


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
