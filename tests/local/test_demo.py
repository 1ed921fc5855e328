"""The demo: it labels the user's photographs, tells what it did, and leaves the machine as it was."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from local import cloud as clouds
from local import demo, demos
from local.assembly import synthesize
from local.cloud import LocalCloud
from local.demos import image_labeling as image_labeling_demo
from local.deploy import stacks
from local.files import FilesRefusedError, check
from local.localstack.cloud import OwnLocalStack
from local.screen import Screen
from scenarios import image_labeling
from scenarios.image_labeling import SUFFIXES, Label, Photo
from stacks import catalogue
from tests.conftest import ARCHITECTURE
from tests.local.emulated import unique

ROOT = Path(__file__).resolve().parents[2]
CAT = ROOT / "samples" / "photos" / "chelsea.jpg"


@dataclass
class Running:
    """A demo in a process of its own, with a cloud of its own."""

    process: subprocess.Popen[bytes]
    seen: str = ""

    @property
    def state(self) -> Path:
        return clouds.STATE / f"demo-{self.process.pid}"

    def read_until(self, text: str) -> None:
        """Reads what it tells until this appears."""
        assert self.process.stderr is not None
        while text not in self.seen:
            byte = self.process.stderr.read(1)
            assert byte, f"it ended before {text!r}: {self.seen}"
            self.seen += byte.decode("latin-1")

    def end(self) -> tuple[int, str, str]:
        """Its status, standard output and standard error, once it has ended."""
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out.decode(), self.seen + err.decode()

    def leftovers(self) -> list[str]:
        """The processes of its cloud and of its synthesis that still run."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                line = " ".join(process.cmdline())
                if str(self.state) in line or self.process.pid in (process.ppid(), *(p.pid for p in process.parents())):
                    found.append(line)
        return found


@contextmanager
def running(*arguments: str) -> Iterator[Running]:
    # A shell lets what it starts in the background ignore Ctrl-C, and `nohup` a hang-up: all that comes of it inherits
    # that.
    before = {one: signal.signal(one, signal.SIG_DFL) for one in (signal.SIGINT, signal.SIGHUP)}
    process = subprocess.Popen(
        [sys.executable, "-m", "local", "demo", ARCHITECTURE, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Unbuffered, so that what one reader has not taken is there for the next.
        bufsize=0,
    )
    for one, handler in before.items():
        signal.signal(one, handler)
    started = Running(process)
    try:
        yield started
    finally:
        process.kill()
        process.communicate()
        shutil.rmtree(started.state, ignore_errors=True)


@pytest.fixture(scope="module", autouse=True)
def synthesized() -> None:
    """Synthesized once, so that each demo is quick."""
    synthesize(ARCHITECTURE, settings=demo.settings(catalogue.get(ARCHITECTURE)))


def test_every_built_architecture_has_a_demo() -> None:
    # Given the built architectures, When their demos are looked up, Then each has samples, and steps that can be told
    for architecture in catalogue.available():
        its = demos.of(architecture.id)
        assert len(its.sample_files()) >= 1, architecture.id
        assert "{inputs}" in its.doing
        assert its.results
    assert len(demos.of(ARCHITECTURE).sample_files()) >= 5


def test_two_demos_at_once_label_photographs_with_awkward_names(tmp_path: Path) -> None:
    # Given photographs with spaces, plus signs, umlauts, emoji, capitals, the same name twice, and two broken files
    names = ["tabby cat.jpg", "a+b&c%20d.jpg", "Käthe ünd 猫.JPG", "😺.jpeg", "one/same.jpg", "two/same.jpg"]
    photos = [tmp_path / name for name in names]
    for photo in photos:
        photo.parent.mkdir(exist_ok=True)
        shutil.copy(CAT, photo)
    broken = [tmp_path / "broken.jpg", tmp_path / "empty.png"]
    broken[0].write_bytes(b"this is no picture")
    broken[1].touch()
    command = [str(photo) for photo in [*photos, *broken]]
    # When they are labelled on a cloud of the demo's own, while another demo does the same beside it
    with running("--json", "--image", *command) as first, running("--json", "--image", str(CAT)) as second:
        ended = [first.end(), second.end()]
        assert [status for status, _, _ in ended] == [0, 0], ended
        told, other = (json.loads(out) for _, out, _ in ended)
        # Then each has its row, under its own name, and each shows a cat
        by_file = {photo["file"]: photo for photo in told["photos"]}
        assert list(by_file) == command
        for photo in photos:
            assert by_file[str(photo)]["status"] == "LABELED"
            assert by_file[str(photo)]["image"].endswith(f"/{photo.name}")
            assert "Cat" in {label["name"] for label in by_file[str(photo)]["labels"]}
        assert len({photo["image"] for photo in told["photos"]}) == len(command)
        # and a file that is no picture is a result with its reason
        for file in broken:
            assert by_file[str(file)]["status"] == "REJECTED"
            assert by_file[str(file)]["reason"]
        # and the two did not meet
        assert told["cloud"]["name"] != other["cloud"]["name"]
        assert [photo["file"] for photo in other["photos"]] == [str(CAT)]
        # and nothing is left of either
        assert first.leftovers() + second.leftovers() == []
        assert not first.state.exists()
        assert not second.state.exists()


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("Synthesizing", signal.SIGINT),
        ("Starting", signal.SIGHUP),
        ("Deploying", signal.SIGTERM),
        ("Uploading", signal.SIGINT),
    ],
)
def test_an_interrupted_demo_leaves_nothing(moment: str, number: signal.Signals) -> None:
    # Given a demo that has come to this moment
    with running() as started:
        started.read_until(moment)
        # When it is interrupted
        started.process.send_signal(number)
        status, out, err = started.end()
        # Then it says so in one line, without a traceback, and nothing is left
        assert status == 130, err
        assert out == ""
        assert err.splitlines()[-1].startswith("Interrupted.")
        assert "Traceback" not in err
        assert started.leftovers() == []
        assert not started.state.exists()


def test_a_demo_that_is_killed_takes_its_cloud_with_it() -> None:
    # Given a demo that is waiting for labels
    with running() as started:
        started.read_until("Uploading")
        assert started.leftovers()
        # When it is killed, so that it cannot tidy up
        started.process.kill()
        # Then its cloud ends all the same
        end = time.monotonic() + 10
        while started.leftovers() and time.monotonic() < end:
            time.sleep(0.1)
        assert started.leftovers() == []


def test_an_emulator_that_dies_half_way_is_one_line_and_leaves_its_log_at_most() -> None:
    # Given a demo that is about to deploy
    with running() as started:
        started.read_until("Deploying")
        pid = json.loads((started.state / "cloud.json").read_text())["pid"]
        # When its emulator is killed
        os.kill(pid, signal.SIGKILL)
        status, _, err = started.end()
        # Then one line says so, and only the log is left, if it says anything
        assert status == 1
        complaints = [line for line in err.splitlines() if line.startswith("Error: ")]
        assert len(complaints) == 1, err
        assert "Traceback" not in err
        assert started.leftovers() == []
        assert not started.state.exists() or [file.name for file in started.state.iterdir()] == ["emulator.log"]


def test_a_cloud_that_is_up_is_used_and_left_as_it_was() -> None:
    # Given a cloud that is up, without the stack
    with LocalCloud.start(unique("up")) as own:
        # When a demo runs on it
        outcome = demo.run(catalogue.get(ARCHITECTURE), [CAT], Screen(), own.name)
        # Then it deployed a copy, and destroyed it again; the cloud is up
        assert outcome.report.complete
        assert outcome.standing.cloud_was_up
        assert outcome.standing.stack != ARCHITECTURE
        assert stacks(own) == {}
        assert own.alive()


def test_a_stack_that_is_deployed_is_used_and_left(cloud: LocalCloud, outputs: dict[str, str]) -> None:
    # Given a cloud on which the stack is deployed, When a demo runs there
    outcome = demo.run(catalogue.get(ARCHITECTURE), [CAT], Screen(), cloud.name)
    # Then it used the stack, and left it
    assert outcome.report.complete
    assert outcome.standing.stack_was_there
    assert outcome.standing.outputs == outputs
    assert stacks(cloud)[ARCHITECTURE] == "CREATE_COMPLETE"


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_the_result_can_be_read_on_any_terminal(
    cloud: LocalCloud,
    outputs: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    columns: int,
) -> None:
    # Given a demo of one photograph and one broken file
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    monkeypatch.setenv("COLUMNS", str(columns))
    screen = Screen()
    outcome = demo.run(catalogue.get(ARCHITECTURE), [CAT, broken], screen, cloud.name)
    # When it is shown on a terminal of this width
    demo.show(outcome, screen, "python -m local")
    shown = capsys.readouterr().out
    # Then the table has the labels, the reason and the times
    words = " ".join(shown.split())
    assert "Cat" in words
    assert "rejected" in words
    assert outcome.to_json()["photos"][1]["reason"]
    # and no line is longer than the terminal, but for a command that is to be copied
    too_long = [line for line in shown.splitlines() if len(line) > columns]
    assert all(line.startswith("python -m local") for line in too_long)
    # and it says what was left, and how to go on
    assert "were there before and stay; so do the photographs of this demo" in words
    # as the bucket shows
    listed = cloud.client("s3").list_objects_v2(Bucket=outputs["BucketName"], Prefix=outputs["UploadPrefix"])
    assert any(one["Key"].endswith("/chelsea.jpg") for one in listed["Contents"])
    assert "--image" in words


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda path: path / "nothing.jpg", "there is no such file"),
        (lambda path: path, "this is a folder"),
        (lambda path: _written(path / "notes.txt"), ".txt are not labelled"),
        (lambda path: _written(path / "cat.Jpg"), "files that end in .Jpg are not labelled"),
        (lambda path: _written(path / "photo"), "files without an ending"),
        (lambda path: _huge(path / "huge.jpg"), "the limit here is 100 MB"),
        (lambda path: _fifo(path / "pipe.jpg"), "this is not a file"),
        (lambda path: _looping(path / "loop.jpg"), "there is no such file"),
        (lambda path: _written(path / os.fsdecode(b"caf\xe9.jpg")), "not valid UTF-8"),
        (lambda path: path / ("x" * 300 + ".jpg"), "cannot be read"),
        (lambda path: path / "two\nlines.jpg", "two?lines.jpg: there is no such file"),
    ],
)
def test_what_is_no_photograph_is_refused_before_anything_starts(tmp_path: Path, make: Any, complaint: str) -> None:
    # Given something that cannot be uploaded, beside a photograph
    path = make(tmp_path)
    # When it is named, Then one line says why not, and can be printed anywhere
    with pytest.raises(FilesRefusedError) as caught:
        check([CAT, path], image_labeling_demo.DEMO.files)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
    str(caught.value).encode()


def test_every_refused_file_gets_its_line(tmp_path: Path) -> None:
    # Given three mistakes, When they are named together, Then each has a line and the command has status 2
    answer = subprocess.run(
        [sys.executable, "-m", "local", "demo", ARCHITECTURE, "--image", "no.jpg", str(tmp_path), "README.rst"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 2
    lines = answer.stderr.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("Error: ") for line in lines)


def test_a_file_named_twice_is_labeled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a photograph, When it is named absolutely and relatively, Then it counts once
    photo = tmp_path / "cat.jpg"
    Image.new("RGB", (8, 8)).save(photo)
    monkeypatch.chdir(tmp_path)
    assert check([photo, Path("cat.jpg")], image_labeling_demo.DEMO.files) == [photo]


def test_suffixes_are_those_of_the_stacks_rules(assembly: Path) -> None:
    # Given the synthesized rules, which match keys by wildcards
    template = json.loads((assembly / f"{ARCHITECTURE}.template.json").read_text())
    rules = [one["Properties"] for one in template["Resources"].values() if one["Type"] == "AWS::Events::Rule"]
    patterns = [
        condition["wildcard"] for rule in rules for condition in rule["EventPattern"]["detail"]["object"]["key"]
    ]
    assert patterns
    # When their endings are collected, Then they are those that the command line lets pass, and no others
    endings = {"." + pattern.rpartition(".")[2] for pattern in patterns}
    assert endings == {*SUFFIXES, *(suffix.upper() for suffix in SUFFIXES)}
    assert all(image_labeling.is_watched(f"x{ending}") for ending in endings)
    assert not image_labeling.is_watched("x.Jpg")


def test_a_disk_that_is_almost_full_is_said_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a disk with 10 MB left
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**12, 10**12, 10**7))
    # When a demo is to bring its own cloud, Then it does not start one
    monkeypatch.setattr(LocalCloud, "start", lambda *_, **__: pytest.fail("it was started"))
    with pytest.raises(OSError, match="No space left"), demo.standing(catalogue.get(ARCHITECTURE), Screen(), "none"):
        pass


def test_a_photograph_without_a_result_leaves_what_was_logged(
    cloud: LocalCloud, outputs: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a stack whose functions have logged something
    outcome = demo.run(catalogue.get(ARCHITECTURE), [CAT], Screen(), cloud.name)
    assert outcome.log is None
    # When a photograph came to no result there
    log = demo._keep_log(outcome.standing)
    # Then the functions' own words are kept where it is said
    assert log is not None
    assert "status" in log.read_text(encoding="utf-8")
    demo.show(dataclasses.replace(outcome, log=log), Screen(), "python3 -m local")
    assert "What was logged: .build/demo.log" in capsys.readouterr().out


@pytest.mark.parametrize("was_up", [True, False])
def test_of_a_localstack_no_more_is_said_than_it_does(
    cloud: LocalCloud, outputs: dict[str, str], capsys: pytest.CaptureFixture[str], was_up: bool
) -> None:
    # Given a demo, of which the local cloud's enforced policies are told
    outcome = demo.run(catalogue.get(ARCHITECTURE), [CAT], Screen(), cloud.name)
    demo.show(outcome, Screen(), "python3 -m local")
    assert "an emulator on 127.0.0.1:" in (told := capsys.readouterr().out)
    assert "IAM enforced" in told
    # When it ran on a LocalStack, Then none is enforced, none is to be looked at, and what is suggested goes there
    core = OwnLocalStack("http://127.0.0.1:4566", frozenset())
    there = dataclasses.replace(outcome.standing, cloud=core, cloud_was_up=was_up, stack_was_there=False)
    demo.show(dataclasses.replace(outcome, standing=there), Screen(), "python3 -m local")
    told = capsys.readouterr().out
    assert "a LocalStack core on 127.0.0.1:4566, which enforces no permission" in told
    assert "IAM" not in told
    assert "local permissions" not in told
    assert "demo image-labeling --cloud localstack --image" in told
    assert ("local up --cloud localstack" in told) != was_up


@pytest.mark.parametrize(("places", "shown"), [(("a", "b"), ["a/same.jpg", "b/same.jpg"]), (("a",), ["same.jpg"])])
def test_photographs_of_one_name_are_told_apart(
    capsys: pytest.CaptureFixture[str], places: Sequence[str], shown: list[str]
) -> None:
    # Given results of photographs that may have the same name in different folders
    photos = tuple(Photo(Path(place) / "same.jpg", "image", "1", "LABELED") for place in places)
    # When they are shown, Then one can see which is which
    screen = Screen()
    screen.out.print(*image_labeling_demo.DEMO.show(image_labeling.Report(photos, 1.0), screen))
    assert [word for word in capsys.readouterr().out.split() if word.endswith(".jpg")] == shown


def label(name: str, confidence: float, *parents: str) -> Label:
    return Label(name, confidence, parents, ())


def test_the_telling_labels_come_first() -> None:
    # Given what was found in a photograph of a cat, ancestors included
    found = [
        label("Animal", 95, "Living Thing"),
        label("Cat", 92, "Animal", "Living Thing"),
        label("Tabby", 38, "Cat", "Animal", "Living Thing"),
        label("Furniture", 30),
        label("Sofa", 29, "Furniture"),
        label("Clothing", 45),
        label("Hat", 20, "Clothing"),
    ]
    # When those that tell most are chosen
    chosen = [one.name for one in image_labeling_demo.telling(found)]
    # Then a likely label makes its ancestors needless, and so does a guess that is nearly as sure as its parent
    assert chosen == ["Cat", "Clothing", "Tabby", "Sofa", "Hat"]


def test_a_photo_without_a_row_has_a_status_and_no_time(cloud: LocalCloud, outputs: dict[str, str]) -> None:
    # Given a stack whose queue no longer feeds its function
    client = cloud.client("lambda")
    (poller,) = client.list_event_source_mappings(FunctionName=outputs["FunctionName"])["EventSourceMappings"]
    client.update_event_source_mapping(UUID=poller["UUID"], Enabled=False)
    try:
        # When a photograph is uploaded and waited for in vain
        report = image_labeling.run(cloud, outputs, [CAT], patience_seconds=1)
    finally:
        client.update_event_source_mapping(UUID=poller["UUID"], Enabled=True)
    # Then the report says so, and is not complete
    (photo,) = report.photos
    assert photo == Photo(
        CAT, photo.image, photo.version, status="MISSING", reason="no row came in time", labels=(), seconds=None
    )
    assert not report.complete


def _written(path: Path) -> Path:
    path.write_text("text")
    return path


def _huge(path: Path) -> Path:
    with path.open("wb") as file:
        # A hole: it takes no space.
        file.truncate(image_labeling_demo.DEMO.files.largest_bytes + 1)
    return path


def _fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def _looping(path: Path) -> Path:
    path.symlink_to(path)
    return path
