"""What is deployed of a function: all that it imports, nothing that differs by machine, within its sizes."""

from __future__ import annotations

import concurrent.futures
import hashlib
import importlib.metadata
import io
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile

import pytest

from bench.imports import MAXIMUM_OTHER_BYTES_ZIPPED, MAXIMUM_OWN_BYTES, asset_sizes
from local import guard
from local.environment import NO_USER_SETTINGS
from stacks import assets
from stacks.assets import AssetError, function_asset, functions, write_zip

LABELING = ("image-labeling", "label_image")
GUARD = pathlib.Path(guard.FOLDER, "site", "sitecustomize.py")

# What the Lambda runtime brings: boto3 and what boto3 needs.
RUNTIME = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six.py", "urllib3")


def _content(folder: pathlib.Path) -> dict[str, str]:
    """Every file's path, mode, time and hash."""
    return {
        str(path.relative_to(folder)): f"{path.stat().st_mode:o} {path.stat().st_mtime} "
        + hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def empty_build(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A build folder with the installed dependencies and nothing assembled."""
    (tmp_path / "parts").symlink_to(assets.BUILD / "parts")
    monkeypatch.setattr(assets, "BUILD", tmp_path)
    return tmp_path


@pytest.fixture
def runtime(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder like the runtime's: boto3 and its own dependencies, and nothing else."""
    for name in RUNTIME:
        (tmp_path / name).symlink_to(pathlib.Path(sysconfig.get_paths()["purelib"]) / name)
    return tmp_path


# -I leaves out the variable by which children are guarded as well: this one guards itself.
_IMPORT = """
import runpy, sys
runpy.run_path(sys.argv.pop())
sys.path[:0] = sys.argv[1:3]
import lambdas.image_labeling.label_image.handler as handler
from lambdas.image_labeling.label_image.images import prepare
with open(sys.argv[3], "rb") as file:
    print(prepare(file.read()).preprocessed)
for module in list(sys.modules.values()):
    if getattr(module, "__file__", None):
        print(module.__file__)
"""


def test_a_folder_holds_all_that_its_function_imports(runtime: pathlib.Path) -> None:
    # Given the staged folder, boto3, and no other package: -I -S leaves out the environment and its packages
    from tests.unit.conftest import picture

    staged = function_asset(*LABELING, "local")
    (runtime / "picture.webp").write_bytes(picture(kind="WEBP"))
    environment = {
        **NO_USER_SETTINGS,
        "PATH": os.environ["PATH"],
        "AWS_DEFAULT_REGION": "us-east-1",
        "RESULTS_TABLE": "results",
        "IDEMPOTENCY_TABLE": "idempotency",
        "MINIMUM_CONFIDENCE": "70",
        "MAXIMUM_LABELS": "20",
        "UPLOAD_PREFIX": "uploads/",
    }
    # When the handler is imported, and a picture converted, which imports the rest
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-B",
            "-c",
            _IMPORT,
            *map(str, (staged, runtime, runtime / "picture.webp", GUARD)),
        ],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    # Then it succeeds, and every module came from the folder, the runtime, Python itself or the guard
    assert done.returncode == 0, done.stderr
    said, *files = done.stdout.splitlines()
    assert said == "WEBP to JPEG"
    python = pathlib.Path(sysconfig.get_paths()["stdlib"])
    allowed = (str(staged), str(runtime), str(python), guard.FOLDER)
    strangers = [file for file in files if not file.startswith(allowed) or "site-packages" in file]
    assert strangers == []
    assert any(file.startswith(str(staged / "PIL")) for file in files)
    assert any(file.startswith(str(staged / "aws_lambda_powertools")) for file in files)


def test_every_function_is_within_its_sizes() -> None:
    # Given the folders for Lambda, zipped
    sizes = asset_sizes()
    assert [(size.architecture, size.function) for size in sizes] == functions()
    # Then own code and other parts are within their bars
    for size in sizes:
        assert 0 < size.own <= MAXIMUM_OWN_BYTES
        assert size.other_zipped <= MAXIMUM_OTHER_BYTES_ZIPPED
    # and the measure is that of a real archive
    staged = function_asset(*LABELING, "lambda")
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in staged.rglob("*"):
            if path.is_file():
                archive.write(path, path.relative_to(staged))
    (labeling,) = (size for size in sizes if (size.architecture, size.function) == LABELING)
    assert labeling.zipped == len(written.getvalue())


def test_compiled_parts_are_for_lambdas_processor_python_and_libc() -> None:
    # Given the shared libraries in the folder for Lambda
    staged = function_asset(*LABELING, "lambda")
    libraries = [path for path in staged.rglob("*.so*") if path.is_file()]
    assert len(libraries) > 5
    for library in libraries:
        content = library.read_bytes()
        # Then each is for 64-bit ARM (machine 183 of the ELF specification)
        assert content[:4] == b"\x7fELF"
        assert int.from_bytes(content[18:20], "little") == 183, library.name
        # and asks for no later C library than Amazon Linux 2023 has
        asked = [(int(major), int(minor)) for major, minor in re.findall(rb"GLIBC_(\d+)\.(\d+)", content)]
        assert max(asked, default=(2, 17)) <= (2, 34), library.name
    # and modules are for the runtime's Python
    modules = [path.name for path in libraries if ".cpython-" in path.name]
    assert modules
    assert all(".cpython-313-aarch64-linux-gnu.so" in name for name in modules)


@pytest.mark.parametrize("target", ["lambda", "local"])
def test_staging_anew_gives_the_same_bytes(empty_build: pathlib.Path, target: assets.Target) -> None:
    # Given a staged folder, and the same staged again elsewhere
    again = function_asset(*LABELING, target)
    assert again.is_relative_to(empty_build)
    first = assets.ROOT / ".build" / again.relative_to(empty_build)
    # Then name, files, modes and times are the same, and none is left by an interpreter or an installer
    assert first.is_dir()
    assert _content(again) == _content(first)
    assert not [name for name in _content(again) if re.search(r"__pycache__|\.pyc$|RECORD$|INSTALLER$", name)]


@pytest.mark.parametrize("package", ["aws-lambda-powertools", "pillow"])
def test_what_is_tested_is_what_is_shipped(package: str) -> None:
    # Given the versions that the function's lock file allows, by Python version
    lock = (assets.SOURCES / "image_labeling" / "label_image" / "requirements.txt").read_text()
    locked = re.findall(rf"^{package}==(\S+)", lock, flags=re.MULTILINE)
    # Then the one that these tests ran with is among them
    assert importlib.metadata.version(package) in locked


def test_only_the_functions_own_code_is_shipped() -> None:
    staged = function_asset(*LABELING, "lambda")
    shipped = {path.relative_to(staged).as_posix() for path in (staged / "lambdas").rglob("*") if path.is_file()}
    assert "lambdas/image_labeling/label_image/handler.py" in shipped
    assert {path for path in shipped if not path.startswith("lambdas/image_labeling/label_image/")} == {
        "lambdas/__init__.py",
        "lambdas/image_labeling/__init__.py",
        *(f"lambdas/shared/{path.name}" for path in (assets.SOURCES / "shared").glob("*.py")),
    }
    assert all(path.endswith(".py") for path in shipped)


def test_stagings_at_the_same_time_agree(empty_build: pathlib.Path) -> None:
    # Given nothing staged
    # When eight ask at once
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(function_asset, *LABELING, "local") for _ in range(8)]
        folders = {future.result() for future in asked}
    # Then all get the one folder, whole, and nothing is left beside it
    (folder,) = folders
    assert _content(folder) == _content(assets.ROOT / ".build" / folder.relative_to(empty_build))
    assert list(folder.parent.iterdir()) == [folder]


def test_an_archive_holds_its_folder_is_made_once_and_goes_with_it(empty_build: pathlib.Path) -> None:
    # Given nothing staged, When three ask for a function's archive at once
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(assets.function_archive, *LABELING, "local") for _ in range(3)]
        (archive,) = {future.result() for future in asked}
    # Then all get the one file, with what the folder holds, and nothing is left beside them
    folder = function_asset(*LABELING, "local")
    assert set(folder.parent.iterdir()) == {folder, archive}
    with zipfile.ZipFile(archive) as opened:
        assert opened.testzip() is None
        names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        assert set(opened.namelist()) == names
    made = archive.stat().st_mtime_ns
    assert assets.function_archive(*LABELING, "local").stat().st_mtime_ns == made
    # and what sources that are gone left behind is removed, the archive too
    old = [archive.with_name("local-0123.zip"), folder.with_name("local-0123")]
    old[0].touch()
    old[1].mkdir()
    assets._prune(folder.parent.glob("local-*"), keep=[folder, archive])
    assert not any(path.exists() for path in old)
    assert archive.is_file()


def test_a_zip_is_the_same_for_the_same_files(tmp_path: pathlib.Path) -> None:
    # Given the same files in two folders, written at other times and in another order
    archives = []
    orders: list[tuple[str, ...]] = [("a.py", "deep/b.py", "run"), ("run", "deep/b.py", "a.py")]
    for names in orders:
        folder = tmp_path / names[0]
        for number, name in enumerate(names):
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"content of {name}")
            os.utime(file, (number * 1e6, number * 1e6))
        (folder / "run").chmod(0o755)
        (folder / "a.py").chmod(0o640 if names[0] == "run" else 0o600)
        # When they are zipped
        out = io.BytesIO()
        write_zip(folder, out)
        archives.append(out.getvalue())
    # Then the archives are equal, byte for byte
    assert archives[0] == archives[1]
    # and hold the files, with the executable bit where it was
    with zipfile.ZipFile(io.BytesIO(archives[0])) as archive:
        modes = {entry.filename: entry.external_attr >> 16 & 0o777 for entry in archive.infolist()}
        assert modes == {"a.py": 0o644, "deep/b.py": 0o644, "run": 0o755}
        assert archive.read("deep/b.py") == b"content of deep/b.py"


def test_a_changed_handler_is_another_folder_and_needs_no_installer(
    empty_build: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a copy of the sources, in which a comment is added to the handler
    import shutil

    root = tmp_path / "copy"
    shutil.copytree(assets.SOURCES, root / "lambdas", ignore=shutil.ignore_patterns("__pycache__"))
    before = function_asset(*LABELING, "local")
    monkeypatch.setattr(assets, "ROOT", root)
    monkeypatch.setattr(assets, "SOURCES", root / "lambdas")
    monkeypatch.setattr(assets, "_install", None)
    assert function_asset(*LABELING, "local").name == before.name
    handler = root / "lambdas" / "image_labeling" / "label_image" / "handler.py"
    handler.write_text(handler.read_text() + "# changed\n")
    # When it is staged
    after = function_asset(*LABELING, "local")
    # Then its folder has another name, and the change is in it
    assert after.name != before.name
    assert (after / "lambdas/image_labeling/label_image/handler.py").read_text().endswith("# changed\n")


@pytest.mark.parametrize(("target", "command"), [("local", "`make setup`"), ("lambda", "`make setup-dev`")])
def test_a_folder_that_is_not_staged_is_one_clear_line(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, target: assets.Target, command: str
) -> None:
    # Given no dependencies installed
    monkeypatch.setattr(assets, "BUILD", tmp_path)
    # When a function is asked for
    with pytest.raises(AssetError) as refused:
        function_asset(*LABELING, target)
    # Then the error is one line with the mend, and nothing was downloaded or made
    assert command in str(refused.value)
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_a_function_that_is_not_there_is_named() -> None:
    with pytest.raises(AssetError, match=r"no function image-labeling/nothing.*label_image"):
        function_asset("image-labeling", "nothing", "local")


def test_old_folders_are_removed_and_new_ones_kept(empty_build: pathlib.Path) -> None:
    # Given a folder of earlier sources, for the target that is staged and for the other
    for target in ("local", "lambda"):
        (empty_build / "lambdas" / "image-labeling" / "label_image" / f"{target}-0123").mkdir(parents=True)
    (empty_build / "parts").unlink()
    (empty_build / "parts").mkdir()
    kept = pathlib.Path(assets.ROOT / ".build" / "parts")
    for parts in kept.glob("local-*"):
        (empty_build / "parts" / parts.name).symlink_to(parts)
    # When the one target is staged
    staged = assets.stage_all(["local"])
    # Then its old folder is gone, and the other target's is not touched
    left = {path.name for path in (empty_build / "lambdas" / "image-labeling" / "label_image").iterdir()}
    assert "lambda-0123" in left
    assert "local-0123" not in left
    assert all(folder.is_dir() for folder in staged)


def test_the_command_refuses_an_unknown_target(capsys: pytest.CaptureFixture[str]) -> None:
    assert assets.main(["windows"]) == 1
    assert capsys.readouterr().err == "There is no target 'windows'. There are: lambda, local.\n"


@pytest.mark.parametrize(
    ("raised", "status", "line"),
    [
        (OSError(28, "No space left on device", "/some/file"), 1, "No space left on device (/some/file)"),
        (shutil.Error("many files"), 1, "many files"),
        (KeyboardInterrupt(), 130, "Interrupted."),
    ],
)
def test_what_stops_staging_is_one_line(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    raised: BaseException,
    status: int,
    line: str,
) -> None:
    # Given a staging that a full disk or the user ends
    def stop(*_: object) -> list[pathlib.Path]:
        raise raised

    monkeypatch.setattr(assets, "stage_all", stop)
    # When the command runs, Then it says so in one line
    assert assets.main(["local"]) == status
    (said,) = capsys.readouterr().err.splitlines()
    assert line in said


def test_only_what_is_new_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    # Given one function that was staged before, and one that is not yet
    place = tmp_path / "lambdas" / "image-labeling"
    (place / "old" / "local-1").mkdir(parents=True)

    def stage(targets: object) -> list[pathlib.Path]:
        (place / "new" / "local-2").mkdir(parents=True, exist_ok=True)
        return [place / "new" / "local-2", place / "old" / "local-1"]

    monkeypatch.setattr(assets, "BUILD", tmp_path)
    monkeypatch.setattr(assets, "stage_all", stage)
    # When the command runs twice, Then it tells of the new one, once
    assert assets.main(["local"]) == 0
    assert capsys.readouterr().out == "Staged lambdas/image-labeling/new/local-2\n"
    assert assets.main(["local"]) == 0
    assert capsys.readouterr().out == ""
