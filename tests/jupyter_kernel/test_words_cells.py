"""Cells in words in a real kernel, as a front end sees them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from famulus.jupyter_kernel import provenance

SALES = """
import pandas as pd
sales = pd.DataFrame({'city': ['Oslo', 'Rome', 'Oslo'], 'price': [12, 8, 20]})
"""
WORDS = "mean price per city in sales, call it means"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notebooks")


@pytest.fixture(scope="module")
def shared(start_kernel: Callable[..., Any], folder: Path) -> Iterator[Any]:
    with start_kernel(cwd=folder) as notebook:
        yield notebook


@pytest.fixture
def notebook(shared: Any) -> Any:
    """A kernel whose namespace holds ``sales`` and nothing of another test."""
    shared.run("%famulus mode auto\n%famulus model off")
    shared.run("%reset -f")
    assert shared.run(SALES).status == "ok"
    return shared


def panel(ran: Any) -> dict[str, Any]:
    """The record in the last state of the panel."""
    shown = [*ran.contents("display_data"), *ran.contents("update_display_data")]
    return dict([content["data"][provenance.MIME] for content in shown if provenance.MIME in content["data"]][-1])


def test_words_run_in_the_namespace(notebook: Any) -> None:
    ran = notebook.run(WORDS)
    assert ran.status == "ok"
    assert notebook.run("assert dict(means) == {'Oslo': 16.0, 'Rome': 8.0}").status == "ok"
    assert notebook.run("assert list(sales.columns) == ['city', 'price']").status == "ok"


def test_the_cell_is_counted_and_remembered_as_one(notebook: Any) -> None:
    before = notebook.run("0").reply["execution_count"]
    ran = notebook.run(WORDS)
    assert ran.reply["execution_count"] == before + 1
    assert [content["code"] for content in ran.contents("execute_input")] == [WORDS]
    assert "groupby" in notebook.run(f"print(In[{before + 1}])").stream()
    history = notebook.request("history_request", hist_access_type="tail", n=2, raw=True, output=False)["history"]
    assert history[0][2] == WORDS


def test_a_value_is_shown_and_kept(notebook: Any) -> None:
    ran = notebook.run("what is the highest price in sales?")
    assert "20" in ran.value
    assert notebook.run("int(_)").value == "20"


def test_the_panel_is_one_output_that_holds_the_record(notebook: Any) -> None:
    ran = notebook.run(WORDS)
    shown = [*ran.contents("display_data"), *ran.contents("update_display_data")]
    assert len({content["transient"]["display_id"] for content in shown}) == 1
    assert len(ran.contents("display_data")) == 1
    record = panel(ran)
    assert (record["words"], record["status"]) == (WORDS, "ok") and "groupby" in record["code"]
    assert (
        "new: means" in shown[-1]["data"]["text/markdown"] and "sales unchanged" in shown[-1]["data"]["text/markdown"]
    )


def test_undo_takes_it_back(notebook: Any) -> None:
    notebook.run("means = 'mine'")
    notebook.run(WORDS)
    assert "put back means" in notebook.run("%undo").stream()
    assert notebook.run("means").value == "'mine'"
    notebook.run("%reset -f")
    assert "no cell in words" in notebook.run("%undo\n%undo\n%undo\n%undo\n%undo\n%undo").stream()


def test_a_change_in_place_is_undone_for_every_name(notebook: Any) -> None:
    notebook.run("alias = sales")
    ran = notebook.run("add a column total which is price times 2 to sales")
    assert ran.status == "ok", ran.reply
    assert notebook.run("list(alias.columns)").value == "['city', 'price', 'total']"
    notebook.run("%undo")
    assert notebook.run("list(alias.columns), sales is alias").value == "(['city', 'price'], True)"


def test_after_a_reset_there_is_nothing_to_go_on_from_or_to_take_back(notebook: Any) -> None:
    notebook.run("total price by city")
    notebook.run("%reset -f")
    assert notebook.run("%undo").stream().strip() == "There is no cell in words to undo."
    assert "no cell in words before" in notebook.run("%explain\n%freeze").stream()
    notebook.run(SALES)
    ran = notebook.run("the same for the highest price")
    assert ran.status == "error" or "groupby" not in panel(ran)["code"], panel(ran)


def test_words_that_mean_nothing_run_nothing(notebook: Any) -> None:
    ran = notebook.run("please sing the national anthem of the moon backwards")
    assert ran.status == "error" and ran.reply["ename"] == "NotUnderstood"
    assert len(ran.contents("error")) == 1 and "Traceback" not in "".join(ran.contents("error")[0]["traceback"])
    assert notebook.run("1 + 1").value == "2"


def test_broken_python_is_a_syntax_error(notebook: Any) -> None:
    for code in ("def f(:\n  pass", "for i in range(3)\n    print(i)", "print('a'", "sales.groupby('city'].mean()"):
        assert notebook.run(code).reply["ename"] in ("SyntaxError", "IndentationError", "_IncompleteInputError"), code


def test_the_marks_force_a_reading(notebook: Any) -> None:
    for mark in ("#!ask ", "#!ask\n", "%%ask\n", "%ask "):
        assert notebook.run(mark + WORDS).status == "ok", mark
    assert notebook.run(f"#!py\n{WORDS}").reply["ename"] == "SyntaxError"


def test_silent_words_are_not_translated(notebook: Any) -> None:
    ran = notebook.run(WORDS, silent=True)
    assert ran.reply["ename"] == "SyntaxError" and not ran.contents("display_data")
    assert notebook.run("'means' in dir()").value == "False"


def test_show_runs_nothing(notebook: Any) -> None:
    notebook.run("%famulus mode show")
    ran = notebook.run(WORDS)
    assert ran.status == "ok" and panel(ran)["status"] == "shown"
    assert notebook.run("'means' in dir()").value == "False"


def test_the_cell_s_metadata_counts_more_than_the_session(notebook: Any) -> None:
    message = notebook.client.session.msg("execute_request", {"code": WORDS, "silent": False, "allow_stdin": False})
    message["metadata"] = {"famulus": {"mode": "show"}}
    notebook.client.shell_channel.send(message)
    assert panel(notebook.finish(message["header"]["msg_id"]))["status"] == "shown"


def test_freeze_on_run_replaces_the_words(notebook: Any) -> None:
    notebook.run("%famulus mode freeze-on-run")
    [payload] = notebook.run(WORDS).reply["payload"]
    assert payload["replace"] and payload["text"].startswith(f"# {WORDS}\nmeans = ")


def test_accept_puts_the_code_below(notebook: Any) -> None:
    notebook.run(WORDS)
    [payload] = notebook.run("%accept").reply["payload"]
    assert not payload["replace"] and "groupby" in payload["text"]


@pytest.mark.parametrize(("answer", "status"), [("y", "ok"), ("n", "error")])
def test_confirm_asks_first(answer: str, status: str, notebook: Any) -> None:
    notebook.run("%famulus mode confirm")
    request = notebook.send(WORDS, allow_stdin=True)
    assert "[y/n]" in notebook.client.get_stdin_msg(timeout=60)["content"]["prompt"]
    notebook.client.input(answer)
    assert notebook.finish(request).status == status
    assert notebook.run("'means' in dir()").value == str(answer == "y")


def test_confirm_without_anybody_to_ask_runs_nothing(notebook: Any) -> None:
    notebook.run("%famulus mode confirm")
    ran = notebook.run("median price per city in sales, call it middles")
    assert ran.reply["ename"] == "NotRun" and panel(ran)["status"] == "refused"


def test_a_new_file_that_the_words_name_is_written(notebook: Any, folder: Path) -> None:
    assert notebook.run("save sales to named.csv").status == "ok"
    assert (folder / "named.csv").read_text().splitlines()[1].endswith("Oslo,12")


def test_a_file_that_is_there_is_not_replaced_unasked(notebook: Any, folder: Path) -> None:
    (folder / "precious.csv").write_text("precious")
    ran = notebook.run("save sales to precious.csv")
    assert ran.reply["ename"] == "NotRun" and "precious.csv" in ran.reply["evalue"]
    assert (folder / "precious.csv").read_text() == "precious"
    request = notebook.send("save sales to precious.csv", allow_stdin=True)
    assert "precious.csv" in notebook.client.get_stdin_msg(timeout=60)["content"]["prompt"]
    notebook.client.input("y")
    assert notebook.finish(request).status == "ok"
    assert "Oslo" in (folder / "precious.csv").read_text()


def test_a_file_that_was_edited_since_is_not_replaced_unasked(notebook: Any, folder: Path) -> None:
    assert notebook.run("save sales to again.csv").status == "ok"
    assert notebook.run("save sales to again.csv", allow_stdin=True).status == "ok", "it is as we left it"
    (folder / "again.csv").write_text("edited by hand")
    request = notebook.send("save sales to again.csv", allow_stdin=True)
    assert "again.csv" in notebook.client.get_stdin_msg(timeout=60)["content"]["prompt"]
    notebook.client.input("n")
    assert notebook.finish(request).reply["ename"] == "NotRun"
    assert (folder / "again.csv").read_text() == "edited by hand"


def test_the_same_words_come_to_the_same_code_while_the_data_is_alike(notebook: Any) -> None:
    first = panel(notebook.run(WORDS))
    again = panel(notebook.run(WORDS))
    assert (again["source"], again["code"]) == ("recording", first["code"])
    notebook.run("sales['region'] = 'north'")
    assert panel(notebook.run(WORDS))["source"] != "recording"


def test_retry_tries_something_else(notebook: Any) -> None:
    first = panel(notebook.run("top 2 rows of sales by price"))
    ran = notebook.run("%retry")
    assert ran.status == "error" or panel(ran)["code"] != first["code"]


def test_explain_and_context_say_what_happened(notebook: Any) -> None:
    notebook.run(WORDS)
    said = notebook.run("%explain").stream()
    assert WORDS in said and "called means" in said
    assert "sales: DataFrame" in notebook.run("%context").stream()


def test_a_plot_is_a_figure(notebook: Any) -> None:
    notebook.run("%matplotlib inline")
    ran = notebook.run("bar chart of mean price per city in sales")
    assert ran.status == "ok", ran.reply
    assert any("image/png" in content["data"] for content in ran.contents("display_data"))
    assert ran.value == "", "nothing but the figure"


def test_interrupting_leaves_the_kernel_ready(notebook: Any) -> None:
    notebook.run("%famulus mode confirm")
    request = notebook.send(WORDS, allow_stdin=True)
    notebook.client.get_stdin_msg(timeout=60)
    notebook.manager.interrupt_kernel()
    ran = notebook.finish(request)
    assert ran.reply["ename"] == "KeyboardInterrupt"
    assert notebook.run("1 + 1").value == "2"


def vs_code(notebook: Any, code: str) -> str:
    """Sends a cell as the Jupyter extension of VS Code does: with the address of the cell, and the queue goes on."""
    content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": True}
    metadata = {"cellId": "vscode-notebook-cell:/folder/n.ipynb#W2sZmlsZQ%3D%3D"}
    message = notebook.client.session.msg("execute_request", {**content, "stop_on_error": False}, metadata=metadata)
    notebook.client.shell_channel.send(message)
    return str(message["header"]["msg_id"])


def test_vs_code_runs_words_and_interrupts_by_message(notebook: Any) -> None:
    ran = notebook.finish(vs_code(notebook, WORDS))
    assert ran.status == "ok" and panel(ran)["words"] == WORDS
    assert [content["code"] for content in ran.contents("execute_input")] == [WORDS]
    request = vs_code(notebook, "print('begun', flush=True)\nimport time\nwhile True: time.sleep(0.01)")
    notebook.wait(request, "begun")
    assert notebook.request("interrupt_request", "control") == {"status": "ok"}
    assert notebook.finish(request).reply["ename"] == "KeyboardInterrupt"
    notebook.run("%famulus mode confirm")
    request = vs_code(notebook, WORDS + "2")
    notebook.client.get_stdin_msg(timeout=90)
    notebook.request("interrupt_request", "control")
    assert "Nothing was run" in notebook.finish(request).reply["evalue"]
    assert notebook.finish(vs_code(notebook, "'means2' in dir()")).value == "False"


def test_an_interrupt_at_any_moment_is_answered(notebook: Any) -> None:
    for step in range(25):
        request = notebook.send("#!ask " + WORDS)
        time.sleep(0.004 * step)
        notebook.manager.interrupt_kernel()
        assert notebook.finish(request).reply["status"] in ("ok", "error")
    assert notebook.run("1 + 1").value == "2"
