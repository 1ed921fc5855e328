"""The demo of model-monitor: a day of traffic, a changed world, and how the loop mends itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.demos import ROOT, Demo, model_pictures, model_samples
from local.demos.drift_story import MEASURES, Choices, Hour, Report, Story, measures, quiet

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from local.cloud import LocalCloud
    from local.demos.drift_story import Chapters
    from local.screen import Screen

_BAR = 12
_CASES = {"usual": "old model, usual world", "before": "old model, changed world", "after": "new model, changed world"}


class ModelMonitorDemo(Demo):
    """Tells the whole story; what the user may bring is the data that the first model learns from."""

    files = model_samples.LABELLED
    samples = model_samples.FOLDER / "first"
    doing = "Training on {inputs}, and all that comes after"
    done = "Told the story of a model that began with {inputs}"
    results = "chapters"

    def sample_files(self) -> list[Path]:
        """The deliveries of the usual world, drawn now."""
        return [model_samples.write(self.samples, "deliveries.csv", Choices.training_rows, seed=1)]

    def drive(self, cloud: LocalCloud, outputs: Mapping[str, str], inputs: Sequence[Path], screen: Screen) -> Report:
        return _told(cloud, outputs, inputs, screen.step)

    def run(
        self, cloud: LocalCloud, outputs: Mapping[str, str], inputs: Sequence[Path], progress: Callable[[str], None]
    ) -> Report:
        return _told(cloud, outputs, inputs, quiet(progress))

    def summary(self, report: Report) -> str:
        return report.reason or f"{len(report.hours)} hours judged"

    def show(self, report: Report, screen: Screen) -> Iterable[RenderableType]:
        from rich.text import Text

        if report.reason:
            yield Text.assemble(("The story ended early: ", "red"), report.reason)
        if report.hours:
            yield _hours(report)
            yield _distances(report, screen)
        if report.alarm_raised:
            yield _changes(report)
        if report.before.answers:
            yield _accuracy(report, screen)
        if report.calls:
            yield _update(report)
        if report.pictures:
            names = ", ".join(file.name for file in report.pictures)
            yield Text(f"Pictures: {names}, in {report.pictures[0].parent.relative_to(ROOT)}\n")

    def remarks(self, *, own_stack: bool) -> Sequence[tuple[str, str]]:
        return [
            (
                "The model",
                "trained, served and judged for real: XGBoost, an endpoint of two processes, a job for every hour",
            ),
            ("The shop", "made up by this project, which knows the truth: nothing of it was measured anywhere"),
            (
                "The traffic",
                f"{Choices.an_hour} deliveries an hour; {Choices.compared:,} in the first hour of the changed world",
            ),
            (
                "The new data",
                f"{Choices.training_rows:,} labelled deliveries of the changed world replace the old data: more"
                " than this traffic brings, as a shop has more of it",
            ),
            ("The clock", "moved: a day and more took as long as the steps above say"),
        ]

    def to_json(self, report: Report) -> list[dict[str, Any]]:
        calls = report.calls
        return [
            {"chapter": "first model", **_trained_json(report.first)},
            {"chapter": "usual world", "hours": [_hour_json(hour) for hour in report.of("usual")]},
            {
                "chapter": "changed world",
                "hours": [_hour_json(hour) for hour in report.of("changed")],
                "alarm_raised": report.alarm_raised and report.alarm_raised.isoformat(timespec="seconds"),
            },
            {"chapter": "retrained model", **_trained_json(report.second)},
            {
                "chapter": "update",
                "answered": len(calls.seconds) if calls else 0,
                "failed": calls.failed if calls else 0,
                "failures": dict(calls.failures) if calls else {},
                "p50_ms": round(1000 * calls.percentile(0.5), 1) if calls else None,
                "p99_ms": round(1000 * calls.percentile(0.99), 1) if calls else None,
            },
            {
                "chapter": "new model",
                "hours": [_hour_json(hour) for hour in report.of("changed", renewed=True)],
                "alarm_cleared": report.alarm_cleared and report.alarm_cleared.isoformat(timespec="seconds"),
            },
            {
                "chapter": "accuracy",
                **{name: {k: round(v, 4) for k, v in told.items()} for name, told in _cases(report).items()},
            },
            {
                "chapter": "end",
                "reason": report.reason,
                "pictures": [str(file) for file in report.pictures],
            },
        ]


def _told(cloud: LocalCloud, outputs: Mapping[str, str], inputs: Sequence[Path], chapters: Chapters) -> Report:
    report = Story(cloud, outputs, chapters).tell(inputs)
    report.pictures += draw(report, model_pictures.FOLDER / "model-monitor")
    return report


def draw(report: Report, folder: Path) -> list[Path]:
    """The pictures of what there is to see, and their files."""
    drawn = []
    if report.second and report.second.evaluation:
        drawn.append(model_pictures.roc(report.second.evaluation, folder / "roc.png"))
    if report.hours:
        usual, changed = len(report.of("usual")), len(report.of("changed"))
        drawn.append(
            model_pictures.drift(
                [hour.distances for hour in report.hours],
                [bool(hour.drifted) for hour in report.hours],
                usual,
                usual + changed,
                folder / "drift.png",
            )
        )
    cases = {_CASES[name]: told for name, told in _cases(report).items() if told}
    if cases:
        drawn.append(model_pictures.accuracy(cases, MEASURES, folder / "accuracy.png"))
    return drawn


def _cases(report: Report) -> dict[str, dict[str, float]]:
    asked = {"usual": report.usual, "before": report.before, "after": report.after}
    return {name: measures(one) for name, one in asked.items()}


# --- tables


def _table(screen: Screen, title: str) -> Table:
    from rich import box
    from rich.table import Table

    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD if screen.symbol("─", "") else box.ASCII,
        expand=False,
        pad_edge=False,
        header_style="bold",
    )


def _hours(report: Report) -> RenderableType:
    """One sign an hour, as a doctor's chart."""
    from rich.text import Text

    shown = Text("\n")
    rows = (
        ("usual world  ", report.of("usual")),
        ("changed world", report.of("changed")),
        ("new model    ", report.of("changed", renewed=True)),
    )
    for name, hours in rows:
        if not hours:
            continue
        shown.append(f"{name}  from {hours[0].verdict.hour:%a %H:%M}  ")
        for hour in hours:
            shown.append("!" if hour.drifted else ".", "bold red" if hour.drifted else "green")
        found = sum(bool(hour.drifted) for hour in hours)
        judged = "1 hour" if len(hours) == 1 else f"{len(hours)} hours"
        shown.append(f"  {judged} judged, {found or 'none'} with violations")
        if hours[-1].alarm == "ALARM" and report.alarm_raised and not any(h.alarm == "ALARM" for h in hours[:-1]):
            shown.append(f"; alarm at {report.alarm_raised:%H:%M}", "red")
        if hours[-1].alarm == "OK" and report.alarm_cleared and hours is not rows[0][1]:
            shown.append(f"; over at {report.alarm_cleared:%H:%M}", "green")
        shown.append("\n")
    return shown


def _distances(report: Report, screen: Screen) -> RenderableType:
    """How far each feature was from training: at most in the usual world, then at the alarm, then by the new model."""
    from rich.text import Text

    usual, changed = report.of("usual"), report.of("changed")
    last = report.of("changed", renewed=True)[-1:]
    table = _table(screen, "Distance from training, 0 to 1")
    table.add_column("Feature", no_wrap=True)
    table.add_column("Usual, at most", justify="right")
    table.add_column("Changed world", no_wrap=True)
    table.add_column("By the new model", justify="right")
    names = dict.fromkeys(name for hour in [*usual, *changed] for name in hour.distances)
    for name in names:
        highest = max((hour.distances.get(name, 0.0) for hour in usual), default=0.0)
        now = changed[-1].distances.get(name) if changed else None
        loud = bool(changed) and name in changed[-1].drifted
        bar = screen.symbol("█", "#") * round((now or 0.0) * _BAR * 2)
        after = last[0].distances.get(name) if last else None
        table.add_row(
            Text(name, "bold" if loud else ""),
            f"{highest:.2f}",
            Text("-" if now is None else f"{now:.2f} {bar}", "red" if loud else ""),
            "-" if after is None else f"{after:.2f}",
        )
    return table


def _changes(report: Report) -> RenderableType:
    from rich.text import Text

    drift = report.of("changed")[-1].verdict.drift
    told = [one for one in [*drift["features"], drift.get("prediction")] if one and one["drifted"]]
    shown = Text("What the monitor says of it\n", "bold")
    for one in told:
        shown.append(f"{one['name']}: ", "red")
        shown.append("; ".join(one["changes"]) + "\n", "not bold")
    quality = drift.get("quality") or {}
    if quality.get("measured"):
        shown.append(f"{quality['labels']:,} claims that came late: ", "red" if quality.get("drifted") else "")
        told_of = f"PR AUC {quality['measured']['pr_auc']:.2f}, {quality['baseline']['pr_auc']:.2f} in training"
        shown.append("; ".join([told_of, *quality.get("changes", [])]) + "\n", "not bold")
    return shown


def _accuracy(report: Report, screen: Screen) -> RenderableType:
    table = _table(screen, "By the truth, which only the project knows")
    table.add_column("", no_wrap=True)
    for head in MEASURES.values():
        table.add_column(head, justify="right")
    table.add_column("deliveries", justify="right")
    counts = {"usual": report.usual, "before": report.before, "after": report.after}
    for name, told in _cases(report).items():
        if told:
            figures = [f"{told[measure]:.2f}" for measure in MEASURES]
            table.add_row(_CASES[name], *figures, f"{len(counts[name].answers):,}")
    return table


def _update(report: Report) -> RenderableType:
    from rich.text import Text

    assert report.calls
    calls = report.calls
    style = "red" if calls.failed else "green"
    return Text.assemble(
        ("The update", "bold"),
        f"  {len(calls.seconds):,} requests while the model was replaced, ",
        (f"{calls.failed or 'none'} failed", style),
        f"; half within {1000 * calls.percentile(0.5):.0f} ms, 99 of 100 within {1000 * calls.percentile(0.99):.0f} ms",
        *(f"\n{count} times: {reason}" for reason, count in calls.failures.items()),
    )


# --- JSON


def _trained_json(report: Any) -> dict[str, Any]:
    return model_samples.training_json(report) if report else {"status": "NOT_STARTED"}


def _hour_json(hour: Hour) -> dict[str, Any]:
    return {
        "hour": hour.verdict.hour.isoformat(timespec="seconds"),
        "job": hour.verdict.job,
        "deliveries": hour.verdict.drift["window"]["rows"],
        "violations": len(hour.verdict.violations),
        "features": hour.drifted,
        "distances": {name: round(distance, 4) for name, distance in hour.distances.items()},
        "quality": {name: value and round(value, 4) for name, value in hour.quality.items()},
        "alarm": hour.alarm,
    }


DEMO = ModelMonitorDemo()
