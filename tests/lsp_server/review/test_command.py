"""``famulus review`` as it is typed: forms, exit statuses, settled findings, and Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from famulus.commands import application

Install = Callable[..., None]

FAULTS = """
yield finding("a fault", Grade.PROVED, path="a.py", line=1, message="a.py:1 has a fault.")
yield finding("a number", Grade.MEASURED, path="a.py", line=2)
yield finding("a guess", Grade.MODEL_ONLY, path="a.py", line=2)
"""


@dataclass
class Done:
    """What a command left."""

    status: int
    out: str
    err: str


Review = Callable[..., Done]


@pytest.fixture
def review(repo: Any, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Review:
    """``famulus review`` in the repository, which has one change."""
    repo.commit({"a.py": "x = 1\ny = 1\n"})
    repo.write({"a.py": "x = 2\ny = 2\n"})

    def run(*arguments: str, cwd: Path | None = None) -> Done:
        monkeypatch.chdir(cwd or repo.path)
        status = application.run(["review", *arguments])
        shown = capfd.readouterr()
        return Done(status, shown.out, shown.err)

    return run


def test_the_report_is_printed_and_the_exit_status_is_0_even_with_findings(review: Review, plugin: Install) -> None:
    plugin(FAULTS + 'yield finding("long", Grade.MEASURED, path="a.py", line=2, message=" ".join(["long"] * 60))')
    done = review("--rules", "plugged")
    assert (done.status, done.err) == (0, "")
    assert "proved  a.py:1  plugged/thing" in done.out
    assert " ".join(["long"] * 60) in done.out
    assert not [line for line in done.out.splitlines() if line.endswith(" ")]
    assert "3 findings in 2 changed lines of 1 file (working tree against HEAD" in done.out
    assert "a guess" not in done.out and "Not shown: 1 only the model's" in done.out
    assert "a guess" in review("--rules", "plugged", "--all").out


@pytest.mark.parametrize(
    ("grade", "rule", "status"),
    [
        ("proved", FAULTS, 1),
        ("proved", "yield finding('x', Grade.MEASURED)", 0),
        ("measured", "yield finding('x', Grade.MEASURED)", 1),
        ("measured", "yield finding('x', Grade.MODEL_ONLY)", 0),
        ("model-only", "yield finding('x', Grade.MODEL_ONLY)", 1),
        ("model-only", "yield from ()", 0),
    ],
)
def test_the_exit_status_is_1_by_fail_on_alone(
    review: Review, plugin: Install, grade: str, rule: str, status: int
) -> None:
    plugin(rule)
    done = review("--rules", "plugged", "--fail-on", grade, "--format", "json")
    assert (done.status, done.err) == (status, "")
    json.loads(done.out)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "`nonsense` means no commit"),
        (["a", "b", "c"], "at most two"),
        (["--staged", "--worktree"], "Choose one"),
        (["--format", "nonsense"], "no form 'nonsense'"),
        (["--format", "json", "--format", "sarif"], "Only one form"),
        (["--format", "stream=file"], "standard output"),
        (["--fail-on", "nonsense"], "--fail-on"),
        (["--rules", "nonsense"], "There is no rule 'nonsense'"),
        (["--baseline", "nowhere.json"], "no baseline"),
        (["--python", "nowhere"], "--python"),
        (["--budget", "-1"], "--budget"),
        (["--no-run", "--unsafe-run"], "contradict"),
        (["--since-push"], "never pushed"),
    ],
)
def test_wrong_usage_ends_with_2_and_one_sentence(review: Review, arguments: list[str], words: str) -> None:
    done = review(*arguments)
    assert (done.status, done.out) == (2, "")
    assert words in done.err and done.err.count("\n") == 1


def test_outside_a_repository_it_ends_with_2(review: Review, tmp_path: Path) -> None:
    done = review(cwd=tmp_path)
    assert (done.status, done.out) == (2, "")
    assert "is in no git repository. Go into one, or give two folders or two files" in done.err
    assert "There is no elsewhere." in review("elsewhere", str(tmp_path), cwd=tmp_path).err


def test_a_failure_of_famulus_itself_is_not_taken_for_a_finding(review: Review, plugin: Install) -> None:
    plugin("yield finding('one', reach='far')")
    done = review("--rules", "plugged", "--fail-on", "proved")
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "The review itself failed" in done.err


def test_one_run_writes_several_forms(review: Review, plugin: Install, repo: Any) -> None:
    plugin(FAULTS)
    forms = [
        f"--format={form}" for form in ("github", "sarif=r.sarif", "json=r.json", "terminal=r.txt", "markdown=r.md")
    ]
    done = review("--rules", "plugged", *forms)
    assert done.out.splitlines()[0].startswith("::warning file=a.py,line=1,")
    assert json.loads((repo.path / "r.sarif").read_text())["version"] == "2.1.0"
    assert len(json.loads((repo.path / "r.json").read_text())["findings"]) == 2
    assert "proved  a.py:1" in (repo.path / "r.txt").read_text()
    assert (repo.path / "r.md").read_text().startswith("### Famulus review: 2 findings")
    failed = review("--rules", "plugged", "--format", "json=no/such/folder/r.json")
    assert (failed.status, "cannot be written" in failed.err) == (2, True)


def test_the_stream_is_one_object_a_line_and_ends_with_the_report(review: Review, plugin: Install) -> None:
    plugin(FAULTS)
    events = [json.loads(line) for line in review("--rules", "plugged", "--format", "stream").out.splitlines()]
    assert [event["event"] for event in events] == ["start", "progress", "finding", "finding", "end"]
    assert events[0]["title"] == "working tree against HEAD"
    assert (Path(events[0]["root"]).is_dir(), events[0]["files"]) == (True, ["a.py"])
    assert events[-1]["markdown"].startswith("### Famulus review: 2 findings")
    assert events[2]["finding"]["message"] == "a.py:1 has a fault."
    assert [f["message"] for f in events[-1]["report"]["findings"]] == ["a.py:1 has a fault.", "a.py:2 has a number."]


def test_findings_of_one_kind_have_their_own_fingerprints_while_they_come(review: Review, plugin: Install) -> None:
    plugin("for line in (2, 1): yield finding('twice', line=line)")
    events = [json.loads(line) for line in review("--rules", "plugged", "--format", "stream").out.splitlines()]
    came = {e["finding"]["place"]["line"]: e["finding"]["fingerprint"] for e in events if e["event"] == "finding"}
    kept = {f["place"]["line"]: f["fingerprint"] for f in events[-1]["report"]["findings"]}
    assert came == kept and len(set(came.values())) == 2


def test_a_baseline_is_written_once_and_then_read(review: Review, plugin: Install, repo: Any) -> None:
    plugin(FAULTS)
    written = review("--rules", "plugged", "--baseline", "write")
    assert (written.status, "3 findings are settled" in written.err) == (0, True)
    assert repo.git("status", "--short").splitlines()[-1] == "?? .famulus-review-baseline.json"
    done = review("--rules", "plugged", "--fail-on", "model-only")
    assert (done.status, "Settled: 3 in the baseline." in done.out) == (0, True)
    again = (repo.path / ".famulus-review-baseline.json").read_bytes()
    review("--rules", "plugged", "--baseline", "write")
    assert (repo.path / ".famulus-review-baseline.json").read_bytes() == again


def test_two_folders_are_reviewed_without_git(review: Review, tmp_path: Path) -> None:
    for name, text in {"old": "x = 1\n", "new": "x = 1\n# \u202e\n"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.py").write_text(text)
    done = review("old", "new", "--rules", "secrets", "--format", "json", cwd=tmp_path)
    [found] = json.loads(done.out)["findings"]
    assert (found["rule"], found["place"]["line"]) == ("secrets/invisible-bidi", 2)


def test_a_hook_of_pre_commit_sees_what_is_staged(review: Review, repo: Any) -> None:
    """What .pre-commit-hooks.yaml names, run as pre-commit runs it."""
    root = Path(application.__file__).resolve().parents[2]
    hooks = (root / ".pre-commit-hooks.yaml").read_text()
    said = dict(line.strip(" -").split(": ", 1) for line in hooks.splitlines() if not line.startswith("#"))
    assert said["entry"] == "famulus review"
    arguments = said["args"].strip("[]").split(", ")
    assert "--no-run" in arguments
    assert said["pass_filenames"] == "false"
    repo.write({"b.py": "# \u202e\n"})
    assert review(*arguments, "--rules", "secrets").status == 0
    repo.git("add", "b.py")
    done = review(*arguments, "--rules", "secrets")
    assert (done.status, "b.py:1 has characters that reorder" in done.out) == (1, True)


WAITS = """
import atexit, pathlib, time
yield finding("before the wait")
atexit.register(pathlib.Path(context.root, "ended").touch)
pathlib.Path(context.root, "waits").touch()
while True:
    time.sleep(3600)
"""


@pytest.mark.e2e
@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_it_at_once_with_what_was_found(review: Review, plugin: Install, repo: Any, way: int) -> None:
    plugin(WAITS)
    famulus = Path(sys.executable).with_name("famulus")
    command = [famulus, "review", "--rules", "plugged", "--format", "json"]
    process = subprocess.Popen(command, cwd=repo.path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until = time.monotonic() + 60
    while not (repo.path / "waits").exists():
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.01)
    started = time.monotonic()
    process.send_signal(way)
    out, err = process.communicate(timeout=60)
    report = json.loads(out)
    assert (process.returncode, err) == (130, b"")
    assert (repo.path / "ended").exists(), "what is to be done at the end was done"
    assert (report["complete"], [f["message"] for f in report["findings"]]) == (False, ["a.py:1 has before the wait."])
    assert report["left_out"] == ["Interrupted before the end: what a plugin looks for."]
    assert time.monotonic() - started < 5, "promised are 0.2 s, on a machine that does nothing else"


def test_a_path_is_no_revision_and_a_folder_that_is_gone_is_named(review: Review, repo: Any) -> None:
    assert "name a commit, or two folders" in review("a.py").err
    gone = repo.path / "gone"
    gone.mkdir()
    done = subprocess.run(
        ["/bin/sh", "-c", 'rmdir "$1"; exec "$2" -P -m famulus review', "sh", str(gone), sys.executable],
        cwd=gone, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "The folder that you stand in is gone" in done.stderr
