"""The worker process spoken to directly through its channel, as the supervisor does."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus.engine.channel import MAX_FRAME, BrokenChannel, WorkerEnd, frame
from famulus.engine.protocol import (
    Beat,
    Cancel,
    Done,
    Failed,
    Fatal,
    Generate,
    Loading,
    Ready,
    Text,
    encode,
    worker_decoder,
)

STAND_IN = Path(__file__).parent / "stand_in_core.py"


class Worker:
    """A worker process and our end of its channel."""

    def __init__(self, core: str, settings: dict[str, Any]) -> None:
        self.sock, theirs = socket.socketpair()
        self.sock.settimeout(20)
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "famulus.engine.worker"),
                *("--fd", str(theirs.fileno()), "--core", f"{STAND_IN}:{core}"),
            ],
            pass_fds=(theirs.fileno(),),
            stderr=subprocess.PIPE,
            text=True,
        )
        theirs.close()
        self.send(json.dumps(settings).encode())

    def send(self, payload: bytes) -> None:
        self.sock.sendall(frame(payload))

    def receive(self) -> Any:
        (length,) = struct.unpack("<I", self._exactly(4))
        return worker_decoder.decode(self._exactly(length))

    def until(self, kind: type) -> Any:
        """Skip messages up to the first of this kind."""
        while not isinstance(message := self.receive(), kind):
            pass
        return message

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            chunk = self.sock.recv(size - len(data))
            if not chunk:
                raise EOFError
            data += chunk
        return data


@pytest.fixture
def start() -> Iterator[Callable[..., Worker]]:
    workers: list[Worker] = []

    def begin(core: str = "Core", **settings: Any) -> Worker:
        workers.append(Worker(core, settings))
        return workers[-1]

    yield begin
    for worker in workers:
        worker.sock.close()
        worker.process.kill()
        worker.process.communicate(timeout=10)


Start = Callable[..., Worker]


def test_tells_what_it_loads_and_then_what_it_serves(start: Start) -> None:
    worker = start()
    assert isinstance(worker.until(Loading), Loading)
    ready = worker.until(Ready)
    assert ready.model.id == "stand-in"
    assert ready.plan


def test_its_heart_beats_while_it_loads_while_it_works_and_while_it_rests(start: Start, tmp_path: Path) -> None:
    worker = start("SlowLoad", gate=str(tmp_path / "gate"))
    assert worker.until(Beat).progress > 0
    (tmp_path / "gate").touch()
    worker.until(Ready)
    assert not worker.until(Beat).busy
    slow = start("Slow")
    slow.until(Ready)
    slow.send(encode(Generate("a", Text("abc"), max_tokens=1000)))
    first, second = slow.until(Beat), slow.until(Beat)
    while not first.busy:
        first, second = second, slow.until(Beat)
    assert second.progress > first.progress
    slow.send(encode(Cancel("a")))
    while slow.until(Beat).busy:
        pass


def test_a_refused_request_fails_alone(start: Start) -> None:
    worker = start()
    worker.until(Ready)
    worker.send(encode(Generate("long", Text("a" * 5000))))
    worker.send(encode(Generate("good", Text("a"), max_tokens=1)))
    assert worker.until(Failed).id == "long"
    assert worker.until(Done).id == "good"


def test_a_fault_of_ours_in_one_request_fails_it_alone(start: Start) -> None:
    worker = start("Clumsy")
    worker.until(Ready)
    worker.send(encode(Generate("a", Text("?"))))
    failed = worker.until(Failed)
    assert (failed.id, failed.code) == ("a", "internal")
    worker.send(encode(Generate("b", Text("a"), max_tokens=1)))
    assert worker.until(Done).id == "b"


def test_cancelling_the_unknown_is_nothing(start: Start) -> None:
    worker = start()
    worker.until(Ready)
    worker.send(encode(Cancel("never")))
    worker.send(encode(Generate("good", Text("a"), max_tokens=1)))
    assert worker.until(Done).id == "good"


def test_bad_weights_are_named_before_it_leaves(start: Start) -> None:
    worker = start("Corrupt")
    fatal = worker.until(Fatal)
    assert (fatal.code, "truncated" in fatal.message) == ("bad_weights", True)
    assert worker.process.wait(10) != 0


def test_an_unexpected_failure_at_loading_is_named_without_its_words(start: Start) -> None:
    """The words of a stray exception could be anybody's text."""
    worker = start("Bewildered")
    fatal = worker.until(Fatal)
    assert "ZeroDivisionError" in fatal.message
    worker.process.wait(10)
    assert worker.process.stderr is not None
    log = worker.process.stderr.read()
    assert "ZeroDivisionError" in log
    assert "division by zero" not in log


def test_it_leaves_when_the_channel_closes(start: Start) -> None:
    worker = start()
    worker.until(Ready)
    worker.sock.close()
    assert worker.process.wait(10) == 0


def test_it_leaves_when_the_channel_closes_while_it_loads(start: Start, tmp_path: Path) -> None:
    worker = start("SlowLoad", gate=str(tmp_path / "never"))
    worker.until(Loading)
    worker.sock.close()
    worker.process.wait(10)


def test_nonsense_on_the_channel_ends_it(start: Start) -> None:
    worker = start()
    worker.until(Ready)
    worker.send(b"\xc1 nonsense")
    assert worker.process.wait(10) != 0


def test_it_ends_before_an_editor_does_when_memory_runs_out(start: Start) -> None:
    worker = start()
    worker.until(Ready)
    assert int(Path(f"/proc/{worker.process.pid}/oom_score_adj").read_text()) >= 500


def test_settings_are_not_for_everybody_to_read(start: Start) -> None:
    worker = start(secret="hunter2")
    worker.until(Ready)
    for source in ("cmdline", "environ"):
        assert b"hunter2" not in Path(f"/proc/{worker.process.pid}/{source}").read_bytes()


def test_the_worker_module_alone_is_light() -> None:
    program = "import famulus.engine.worker, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# -- frames


@given(st.lists(st.binary(max_size=300), max_size=20), st.randoms())
def test_frames_arrive_whole_however_the_bytes_are_cut(payloads: list[bytes], random: Any) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        end = WorkerEnd(theirs)
        stream, received = b"".join(map(frame, payloads)), []
        while stream:
            size = random.randint(1, len(stream))
            ours.sendall(stream[:size])
            stream = stream[size:]
            received += end.receive(1)
        assert received == payloads
        assert end.receive(0) == []


def test_a_frame_out_of_bounds_and_an_end_are_told_apart_from_silence() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        end = WorkerEnd(theirs)
        assert end.receive(0) == []
        ours.sendall(struct.pack("<I", MAX_FRAME + 1))
        with pytest.raises(BrokenChannel, match=str(MAX_FRAME + 1)):
            end.receive(1)
        ours.close()
        with pytest.raises(BrokenChannel, match="closed"):
            end.receive(1)
