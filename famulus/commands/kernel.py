"""``famulus kernel``: puts the notebook kernel into Jupyter's list, shows where it is, and takes it out again."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from famulus.commands.terminal import print_json, write

app = typer.Typer(name="kernel", help="Put the notebook kernel into Jupyter.", invoke_without_command=True)

Name = Annotated[
    str | None,
    typer.Option(help="What Jupyter calls the kernel; several may stand side by side."),
]
Sandbox = Annotated[bool, typer.Option("--sandbox", help="The kernel whose cells run in a sandbox (Linux).")]
User = Annotated[bool, typer.Option("--user", help="In your own Jupyter folder: the default.")]
SysPrefix = Annotated[bool, typer.Option("--sys-prefix", help="In the environment of the interpreter.")]
Prefix = Annotated[Path | None, typer.Option(metavar="FOLDER", help="In the environment at FOLDER.")]
Python = Annotated[
    str | None,
    typer.Option(metavar="PATH", help="The interpreter that runs the cells, or its environment. Default: this one."),
]


@app.callback()
def group(context: typer.Context) -> None:
    """Put the notebook kernel into Jupyter, show where it is, take it out again."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


@app.command("install")
def install_kernel(
    user: User = False,
    sys_prefix: SysPrefix = False,
    prefix: Prefix = None,
    python: Python = None,
    name: Name = None,
    display_name: Annotated[str | None, typer.Option(help="What menus show.")] = None,
    sandbox: Sandbox = False,
    read: Annotated[
        list[Path] | None, typer.Option(metavar="PATH", help="What cells in the sandbox may read too; may be repeated.")
    ] = None,
) -> None:
    """Let Jupyter find the kernel. The interpreter that runs the cells needs ipykernel, and nothing of Famulus."""
    from famulus.jupyter_kernel import install

    name = _default(sandbox) if name is None else name
    _check(user, sys_prefix, prefix, name)
    if read and not sandbox:
        raise typer.BadParameter("Only a sandbox (--sandbox) has something to open.", param_hint="--read")
    interpreter = install.examine(python or sys.executable)
    place = install.below_prefix(prefix or interpreter.prefix) if prefix or sys_prefix else interpreter.data / "kernels"
    folder = place / name.lower()
    mark = {install.NAME: "", install.SANDBOXED: " (sandbox)"}.get(name, f" ({name})")
    shown = display_name or install.DISPLAY_NAME + mark
    before = install.read(folder)
    if sandbox:
        spec = install.sandboxed(interpreter, readable=read or (), display_name=shown)
    else:
        spec = install.kernelspec(interpreter, display_name=shown)
    install.write(folder, spec)
    write(f"{shown} runs cells in {interpreter.python}\nand is called {name.lower()} in {place}\n")
    if sandbox:
        write("Cells can write to the folder of their notebook alone, and reach no network.\n")
    if before is not None and before.python != interpreter.python:
        write(f"It replaces the one for {before.python}; with --name both can be had.\n")
    active = os.environ.get("VIRTUAL_ENV") or os.environ.get("CONDA_PREFIX")
    if python is None and active and not _same(Path(active), interpreter.prefix):
        write(f"For cells in the environment that is active here: famulus kernel install --python {active}\n")


@app.command("uninstall")
def uninstall_kernel(
    user: User = False,
    sys_prefix: SysPrefix = False,
    prefix: Prefix = None,
    python: Python = None,
    name: Name = None,
    sandbox: Sandbox = False,
) -> None:
    """Take the kernel out of Jupyter's list. Give the options that it was installed with."""
    from famulus.jupyter_kernel import install

    name = _default(sandbox) if name is None else name
    _check(user, sys_prefix, prefix, name)
    if prefix or not sys_prefix:
        place = install.below_prefix(prefix) if prefix else install.data_folder() / "kernels"
    else:
        place = install.below_prefix(install.environment(python) if python else Path(sys.prefix))
    folder = place / name.lower()
    if install.read(folder) is None:
        others = [found.folder for found in install.installed(install.kernel_folders()) if found.name == name.lower()]
        fix = "See: famulus kernel list"
        if others:
            fix = f"There is one in {others[0]}; give --prefix {others[0].parents[3]}."
        raise install.KernelNotInstalled(f"{folder} holds no kernel of Famulus.", fix=fix)
    install.remove(folder)
    write(f"Removed {folder}\n")


@app.command("list")
def list_kernels(
    prefix: Annotated[
        list[Path] | None, typer.Option(metavar="FOLDER", help="Look into this environment too; may be repeated.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List the kernels of Famulus that Jupyter can find, and whether their interpreters still exist."""
    from famulus.jupyter_kernel import install

    places = [*map(install.below_prefix, prefix or ()), *install.kernel_folders()]
    found = list(install.installed(places))
    if as_json:
        print_json([{key: str(value) for key, value in asdict(kernel).items()} for kernel in found])
    elif not found:
        write("No kernel is installed. Run: famulus kernel install\n")
    for kernel in found if not as_json else ():
        rows = [("kernel", f"{kernel.name}, shown as {kernel.display_name}"), ("state", kernel.problem or "ok")]
        rows += [("runs cells in", str(kernel.python)), ("engine from", str(kernel.famulus_python))]
        rows += [("folder", str(kernel.folder))]
        write("".join(f"{name:<15}{value}\n" for name, value in rows) + "\n" * (kernel is not found[-1]))


def _default(sandbox: bool) -> str:
    from famulus.jupyter_kernel.install import NAME, SANDBOXED

    return SANDBOXED if sandbox else NAME


def _check(user: bool, sys_prefix: bool, prefix: Path | None, name: str) -> None:
    """Raises :class:`typer.BadParameter` where the options contradict each other."""
    from famulus.jupyter_kernel.install import valid_name

    if user + sys_prefix + (prefix is not None) > 1:
        raise typer.BadParameter("--user, --sys-prefix and --prefix exclude one another.")
    if not valid_name(name):
        raise typer.BadParameter(
            f"{name!r} is not made of the letters a-z, digits, '.', '_' and '-'.", param_hint="--name"
        )


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)
