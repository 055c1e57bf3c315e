"""The measurements are of the sandbox alone, never of the machine around it."""

from __future__ import annotations

import os
from pathlib import Path

from famulus.sandbox import watch


def test_a_process_that_still_sees_the_machine_counts_for_nothing() -> None:
    """Until it changed its root, a namespace's first process shows the /proc of everybody."""
    namespace = watch.Namespace(os.getpid())
    assert namespace.processes() == []
    assert namespace.file_count() == 0


def test_a_process_that_is_gone_counts_for_nothing() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    assert watch.Namespace(child).processes() == []
    assert watch.read_process("/proc", child) is None


def test_descendants_are_found_and_strangers_are_not() -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        if os.fork() == 0:
            os.read(reading, 1)
            os._exit(0)
        os.read(reading, 1)
        os._exit(0)
    watcher = watch.Descendants(child)
    try:
        while not (found := watcher.processes()):
            pass
        assert [process.parent for process in found] == [child]
        assert {process.pid for process in watch.Descendants(os.getpid()).processes()} >= {child, found[0].pid}
    finally:
        os.close(writing)
        os.close(reading)
        os.waitpid(child, 0)


def test_names_with_brackets_do_not_confuse(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    fields = ["S", "3"] + ["0"] * 9 + ["100", "50", "25", "25"] + ["0"] * 2 + ["4", "0", "0", "0", "10"]
    (tmp_path / "7" / "stat").write_text("7 (a) S (b) " + " ".join(fields))
    process = watch.read_process(str(tmp_path), 7)
    assert process
    tick, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    assert (process.parent, process.cpu, process.threads, process.resident) == (3, 200 / tick, 4, 10 * page)


def test_folder_usage_counts_no_links(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "file").write_bytes(b"x" * 100_000)
    (tmp_path / "link").symlink_to("/usr")
    size, files = watch.folder_usage(str(tmp_path), most_files=100)
    assert 100_000 <= size < 200_000
    assert files == 3
    assert watch.folder_usage("/usr", most_files=50)[1] == 51
