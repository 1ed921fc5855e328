"""What a job runs: the monitor and the analyzer, from files to files."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.monitoring import analyzer, baseline, monitor, plot
from tests.unit.monitoring import END, SCHEMA_FILE, START, csv, record, rows, truth, write_lines

ROOT = Path(__file__).resolve().parents[2]
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass
class Job:
    """The folders of a job."""

    folder: Path

    @property
    def report(self) -> Path:
        return self.folder / "report"

    @property
    def message(self) -> Path:
        return self.folder / "output" / "message"

    def arguments(self, *more: str, captures: bool = True) -> list[str]:
        """The monitor's."""
        told = {
            "--baseline": "baseline",
            "--schema": "schema.json",
            "--output": "report",
            "--message": "output/message",
        }
        if captures:
            told["--captures"] = "captures"
        paired = [text for name, place in told.items() for text in (name, str(self.folder / place))]
        return [*paired, "--start", START, "--end", END, *more]

    def capture(self, lines: list[list[Any]], *also: Any, folder: str = "captures", **options: Any) -> None:
        """A request a row, its event named after its place; the answer goes by the size."""
        made = [
            record(csv([line]), f"{answer(line)},0", event=f"{folder}-{at}", **options) for at, line in enumerate(lines)
        ]
        write_lines(self.folder / folder / "endpoint" / "AllTraffic" / "2026/11/27/09" / "a.jsonl", [*made, *also])

    def read(self, name: str) -> Any:
        """A file of the report."""
        return json.loads((self.report / name).read_text())


def answer(line: list[Any]) -> float:
    """A model that goes by the size."""
    return float(np.round(1 / (1 + np.exp(2.5 - 0.5 * float(line[0] or 1))), 4))


def labels(lines: list[list[Any]], seed: int) -> list[int]:
    """What became true: as the model says, on average."""
    random = np.random.default_rng(seed)
    return [int(random.random() < answer(line)) for line in lines]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A job with a schema and a baseline of data and model."""
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA_FILE))
    (tmp_path / "data").mkdir()
    lines = rows(2000, seed=1)
    (tmp_path / "data" / "a.csv").write_text("size,count,colour,note\n" + csv(lines) + "\n")
    (tmp_path / "said").mkdir()
    test = rows(1000, seed=2)
    pairs = [[answer(line), 0, label] for line, label in zip(test, labels(test, 3), strict=True)]
    (tmp_path / "said" / "a.csv").write_text("probability,decision,good\n" + csv(pairs) + "\n")
    folders = [("data", "data"), ("schema", "schema.json"), ("output", "baseline"), ("predictions", "said")]
    assert baseline.main([text for name, at in folders for text in (f"--{name}", str(tmp_path / at))]) == 0
    return Job(tmp_path)


# --- the monitor


def test_a_clean_window_completes(job: Job) -> None:
    # Given an hour of traffic as usual, and lines that cannot be read
    job.capture(rows(300, seed=10), "{", "[]")
    # When the script runs
    assert monitor.main(job.arguments()) == 0
    # Then the report says so, in the documented shapes
    assert job.message.read_text() == "Completed: Job completed successfully with no violations."
    assert job.read("constraint_violations.json") == {"violations": []}
    assert job.read("statistics.json")["dataset"]["item_count"] == 300
    drift = job.read("drift.json")
    assert (drift["verdict"], drift["violations"], drift["drift_share"]) == ("no drift", 0, 0.0)
    # And nothing was dropped without a word
    assert drift["window"] == {
        "start": START,
        "end": END,
        "requests": 300,
        "rows": 300,
        "outside_window": 0,
        "duplicates": 0,
        "malformed_records": 2,
        "malformed": {"no JSON": 1, "no object": 1},
        "malformed_labels": {},
        "history_requests": 0,
        "history_of_other_models": 0,
        "history_malformed": {},
    }
    assert [each["name"] for each in drift["features"]] == ["size", "count", "colour", "note"]
    assert drift["prediction"]["name"] == "probability"
    assert drift["quality"] is None


def changed(seed: int) -> list[list[Any]]:
    """Traffic of a changed world: larger sizes, and a new colour."""
    return [
        [line[0] and line[0] * 2, line[1], "violet" if at % 9 == 0 else line[2], line[3]]
        for at, line in enumerate(rows(300, seed=seed))
    ]


def test_drift_completes_with_violations(job: Job) -> None:
    # Given traffic of a changed world
    job.capture(changed(seed=11), encoding="BASE64")
    # When the script runs, Then it ends well and says what changed
    assert monitor.main(job.arguments("--plot")) == 0
    assert job.message.read_text() == "CompletedWithViolations: Job completed successfully with 3 violations."
    found = job.read("constraint_violations.json")["violations"]
    assert {(each["feature_name"], each["constraint_check_type"]) for each in found} == {
        ("size", "baseline_drift_check"),
        ("colour", "categorical_values_check"),
        ("probability", "baseline_drift_check"),
    }
    assert all(set(each) == {"feature_name", "constraint_check_type", "description"} for each in found)
    assert job.read("drift.json")["drift_share"] == 0.5
    # And draws it
    assert (job.report / "drift.png").read_bytes().startswith(PNG)


def test_labels_that_come_late_are_joined_with_the_days_before(job: Job) -> None:
    # Given labels of yesterday's requests that the model was wrong about, and one of a request that nobody knows
    before = rows(400, seed=12)
    job.capture(before, "broken", folder="history", time="2026-11-26T14:00:00Z")
    wrong = [truth(f"history-{at}", 1 - label) for at, label in enumerate(labels(before, 13))]
    late = write_lines(job.folder / "late" / "labels.jsonl", [*wrong, truth("unknown", 1), "{"])
    # When they arrive in an hour without traffic
    given = ["--ground-truth", str(late), "--history", str(job.folder / "history")]
    assert monitor.main(job.arguments(*given, captures=False)) == 0
    # Then the model is judged, and the data are not
    (violation,) = job.read("constraint_violations.json")["violations"]
    assert violation["feature_name"] == "good"
    drift = job.read("drift.json")
    assert (drift["quality"]["labels"], drift["quality"]["labels_without_prediction"]) == (400, 1)
    assert (drift["window"]["rows"], drift["window"]["history_requests"]) == (0, 400)
    assert drift["window"]["history_malformed"] == {"no JSON": 1}
    assert drift["window"]["malformed_labels"] == {"no JSON": 1}
    assert "0 rows are too few to judge: it takes 100." in drift["notes"]


def test_labels_of_what_another_model_said_are_not_this_ones(job: Job) -> None:
    # Given yesterday's requests, and labels that say the model was wrong
    before = rows(400, seed=12)
    job.capture(before, folder="history", time="2026-11-26T14:00:00Z")
    wrong = [truth(f"history-{at}", 1 - label) for at, label in enumerate(labels(before, 13))]
    late = write_lines(job.folder / "late" / "labels.jsonl", wrong)
    # When the model of the baseline came into service after them
    given = ["--ground-truth", str(late), "--history", str(job.folder / "history"), "--since", "2026-11-26T14:00:01Z"]
    assert monitor.main(job.arguments(*given, captures=False)) == 0
    # Then it is not blamed for them, and the report says so
    assert job.read("constraint_violations.json") == {"violations": []}
    drift = job.read("drift.json")
    assert (drift["quality"]["labels"], drift["quality"]["labels_without_prediction"]) == (0, 400)
    assert (drift["window"]["history_requests"], drift["window"]["history_of_other_models"]) == (0, 400)


def test_labels_as_the_model_said_are_no_violation(job: Job) -> None:
    lines = rows(300, seed=14)
    job.capture(lines)
    late = write_lines(
        job.folder / "late" / "a.jsonl", [truth(f"captures-{at}", label) for at, label in enumerate(labels(lines, 15))]
    )
    assert monitor.main(job.arguments("--ground-truth", str(late))) == 0
    assert job.read("constraint_violations.json") == {"violations": []}
    assert job.read("drift.json")["quality"]["labels"] == 300


@pytest.mark.parametrize("count", [0, 57])
def test_a_quiet_hour_is_no_alarm(job: Job, count: int) -> None:
    job.capture([["9", 9, "violet", "x"]] * count)
    assert monitor.main(job.arguments("--plot")) == 0
    assert job.message.read_text() == f"Completed: {count} rows are too few to judge: it takes 100."
    assert job.read("drift.json")["verdict"] == "too few rows"


def test_the_same_window_has_the_same_report(job: Job) -> None:
    job.capture(changed(seed=16))
    reports = []
    for _ in range(2):
        assert monitor.main(job.arguments("--plot")) == 0
        reports.append({file.name: file.read_bytes() for file in job.report.iterdir()})
    assert reports[0] == reports[1]
    assert set(reports[0]) == {"constraint_violations.json", "drift.json", "drift.png", "statistics.json"}


def test_an_hour_without_violations_has_no_picture(job: Job) -> None:
    job.capture(rows(200, seed=16))
    assert monitor.main(job.arguments("--plot")) == 0
    assert job.read("constraint_violations.json") == {"violations": []}
    assert {file.name for file in job.report.iterdir()} == {
        "constraint_violations.json",
        "drift.json",
        "statistics.json",
    }


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("baseline/statistics.json", "There is no file statistics.json"),
        ("baseline/constraints.json", "There is no file constraints.json"),
        ("schema.json", "There is no file schema.json"),
        ("captures", "There is no folder"),
    ],
)
def test_input_of_no_use_fails_the_job_with_a_reason(
    job: Job, damage: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a job that lacks a part
    if damage != "captures":
        job.capture(rows(200, seed=17))
        (job.folder / damage).unlink()
    # When it runs, Then it fails, its exit message and its log say why, and there is no report
    assert monitor.main(job.arguments()) == 1
    assert job.message.read_text().startswith(f"Failed: {reason}")
    assert reason in capsys.readouterr().err
    assert not job.report.exists()


def test_damaged_baselines_are_refused(job: Job) -> None:
    job.capture(rows(200, seed=17))
    for name in ("statistics.json", "model_baseline.json"):
        file = job.folder / "baseline" / name
        kept = file.read_text()
        for content in ("{", "{}"):
            file.write_text(content)
            assert monitor.main(job.arguments()) == 1
        file.write_text(kept)
    assert monitor.main(job.arguments()) == 0


def test_a_job_needs_something_to_judge(job: Job) -> None:
    assert monitor.main(job.arguments(captures=False)) == 1
    with pytest.raises(SystemExit):
        monitor.main([*job.arguments(), "--start", "noon"])


def test_without_matplotlib_there_is_a_report_and_no_plot(
    job: Job, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    job.capture(changed(seed=18))
    assert monitor.main(job.arguments("--plot")) == 0
    assert not (job.report / "drift.png").exists()
    assert "matplotlib is not installed" in capsys.readouterr().err
    assert plot.draw_drift(job.read("drift.json"), job.report / "drift.png") is False


def test_the_script_starts_from_an_archive_and_imports_little(job: Job) -> None:
    # Given the folder of the scripts under another name, as an archive may have it
    job.capture(rows(120, seed=19))
    package = job.folder / "code" / "monitoring"
    package.parent.mkdir()
    package.symlink_to(ROOT / "pipelines" / "monitoring")
    # When a process runs it
    code = (
        "import sys; from monitoring import monitor; code = monitor.main(sys.argv[1:]);"
        "print(sorted({'boto3', 'pandas', 'scipy.stats', 'matplotlib'} & set(sys.modules))); sys.exit(code)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, *job.arguments()],
        cwd=package.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    # Then it works, and is not kept waiting by what it does not need
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "[]"


# --- the analyzer


@pytest.fixture
def environment(job: Job) -> dict[str, str]:
    """What Model Monitor tells its container."""
    return {
        "dataset_format": json.dumps({"sagemakerCaptureJson": {"captureIndexNames": ["endpointInput"]}}),
        "dataset_source": str(job.folder / "captures"),
        "output_path": str(job.report),
        "start_time": START,
        "end_time": END,
        "publish_cloudwatch_metrics": "Enabled",
        "sagemaker_endpoint_name": "endpoint",
        "sagemaker_monitoring_schedule_name": "hourly",
        "baseline_statistics": str(job.folder / "baseline" / "statistics.json"),
        "baseline_constraints": str(job.folder / "baseline" / "constraints.json"),
    }


def run(job: Job, environment: dict[str, str]) -> int:
    return analyzer.main(["--opt-ml", str(job.folder)], environment)


def test_the_analyzer_judges_under_the_container_s_contract(job: Job, environment: dict[str, str]) -> None:
    # Given captures of a changed world
    changed = [[line[0] and line[0] * 2, *line[1:]] for line in rows(300, seed=20)]
    # And more than was asked for: the platform may bring records from outside of the window
    job.capture(changed, *[record(csv([["9", 9, "violet", "x"]]), time=END) for _ in range(20)])
    # When the analyzer runs as Model Monitor runs its container
    assert run(job, environment) == 0
    # Then the report and the message are there
    assert job.message.read_text() == "CompletedWithViolations: Job completed successfully with 1 violations."
    (violation,) = job.read("constraint_violations.json")["violations"]
    assert violation["feature_name"] == "size"
    # And the metrics, for the platform to publish
    file = job.folder / "output" / "metrics" / "cloudwatch" / "cloudwatch_metrics.jsonl"
    metrics = {each["MetricName"]: each for each in map(json.loads, file.read_text().splitlines())}
    assert metrics["feature_data_count"]["StatisticValues"]["SampleCount"] == 300
    assert metrics["feature_baseline_drift_size"]["Value"] > 0.1
    assert metrics["feature_non_null_count"]["Value"] == 1.0
    assert {json.dumps(each["Dimensions"]) for each in metrics.values()} == {
        json.dumps([{"Name": "Endpoint", "Value": "endpoint"}, {"Name": "MonitoringSchedule", "Value": "hourly"}])
    }
    assert {each["Timestamp"] for each in metrics.values()} == {END}


def both(job: Job, environment: dict[str, str], baseline: str) -> dict[str, str]:
    """What it is told when input and output are captured, as endpoints do it here."""
    told = {f"baseline_{kind}": str(job.folder / "baseline" / f"{baseline}{kind}.json") for kind in KINDS}
    captured = {"captureIndexNames": ["endpointInput", "endpointOutput"]}
    return environment | told | {"dataset_format": json.dumps({"sagemakerCaptureJson": captured})}


KINDS = ("statistics", "constraints")


def test_what_is_captured_of_both_matches_a_baseline_with_the_answer_s_columns_first(
    job: Job, environment: dict[str, str]
) -> None:
    # Given the baseline for Model Monitor, and a clean hour
    columns = [
        each["name"] for each in json.loads((job.folder / "baseline/captured_statistics.json").read_text())["features"]
    ]
    assert columns == ["probability", "decision", "size", "count", "colour", "note"]
    job.capture(rows(300, seed=20))
    # When it is judged, Then it has no violation, and the report has the same columns
    assert run(job, both(job, environment, "captured_")) == 0
    assert job.read("constraint_violations.json") == {"violations": []}
    assert [each["name"] for each in job.read("statistics.json")["features"]] == columns
    # And answers that drift are found
    changed = [[line[0] and line[0] * 2, *line[1:]] for line in rows(300, seed=21)]
    job.capture(changed)
    assert run(job, both(job, environment, "captured_")) == 0
    assert {each["feature_name"] for each in job.read("constraint_violations.json")["violations"]} >= {
        "size",
        "probability",
    }


def test_a_baseline_without_the_answer_s_columns_alarms_in_a_clean_hour_as_the_managed_monitor_s(
    job: Job, environment: dict[str, str]
) -> None:
    # Given the baseline of the features alone, When a clean hour with captured answers is judged by it
    job.capture(rows(300, seed=20))
    assert run(job, both(job, environment, "")) == 0
    # Then the rows have columns that it does not know
    kinds = {each["constraint_check_type"] for each in job.read("constraint_violations.json")["violations"]}
    assert "extra_column_check" in kinds


def test_the_analyzer_leaves_no_metrics_unless_asked(job: Job, environment: dict[str, str]) -> None:
    job.capture(rows(200, seed=21))
    assert run(job, environment | {"publish_cloudwatch_metrics": "Disabled"}) == 0
    assert not (job.folder / "output" / "metrics").exists()


def test_the_analyzer_suggests_a_baseline(job: Job, environment: dict[str, str]) -> None:
    # Given data with a header and no baseline
    told = {name: value for name, value in environment.items() if not name.startswith("baseline_")}
    told |= {"dataset_format": '{"csv": {"header": true}}', "dataset_source": str(job.folder / "data")}
    # When the analyzer runs
    assert run(job, told) == 0
    # Then it found out what the columns are, and made the same files as the script that was told
    for name in ("statistics.json", "constraints.json"):
        assert job.read(name) == json.loads((job.folder / "baseline" / name).read_text())


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"analysis_type": "MODEL_QUALITY"}, "MODEL_QUALITY is not done here"),
        ({"dataset_source": ""}, "has no dataset_source"),
        ({"dataset_format": "csv"}, "dataset_format is no JSON"),
        ({"dataset_format": '{"parquet": {}}'}, "sagemakerCaptureJson"),
        ({"baseline_statistics": ""}, "from CSV with a header"),
        ({"start_time": "noon"}, "start_time is no time"),
        ({"baseline_statistics": "/nowhere/statistics.json"}, "no file statistics.json"),
    ],
)
def test_the_analyzer_refuses_what_it_does_not_do(
    job: Job, environment: dict[str, str], changed: dict[str, str], reason: str
) -> None:
    job.capture(rows(10, seed=22))
    assert run(job, environment | changed) == 1
    assert reason in job.message.read_text()
    assert not job.report.exists()
