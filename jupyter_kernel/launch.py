"""Starts the notebook kernel in the user's own interpreter, which knows nothing of Famulus:

    PYTHON -P .../famulus/jupyter_kernel/launch.py -f CONNECTION_FILE --famulus-python PYTHON [--home FOLDER]

It registers the one package ``famulus`` and puts no folder onto ``sys.path``, so that the user's own ``engine.py`` or
``tests/`` stay theirs. ``--famulus-python`` is the interpreter that the engine is started with, ``--home`` the folder
of the engine; all other arguments go to ipykernel. Old interpreters must be able to read this file: it tells them in
one sentence why they will not do.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import sys

OLDEST_PYTHON = (3, 11)
OLDEST_IPYKERNEL = (7, 0)
OWN_OPTIONS = ("--famulus-python", "--home")


def main() -> int:
    """Runs the kernel until it is shut down. 1 where it cannot start."""
    problem = refusal()
    options, arguments = parted(sys.argv[1:])
    package = package_folder(os.path.dirname(os.path.abspath(__file__)))
    if not package:
        problem = f"The files of Famulus beside {__file__} are gone. Run: famulus kernel install"
    if problem:
        sys.stderr.write(f"famulus: {problem}\n")
        return 1
    sys.argv[1:] = arguments  # programs in cells that read it find what the stock kernel has there
    gc.disable()  # nothing that is imported is garbage, and looking for some takes time
    register(package)
    from famulus.jupyter_kernel.app import FamulusKernelApp

    app = FamulusKernelApp.prepared(options.get("--famulus-python", ""), options.get("--home", ""))
    app.initialize(arguments)  # type: ignore[no-untyped-call]
    gc.enable()
    app.start()  # type: ignore[no-untyped-call]
    return 0


def refusal() -> str:
    """Why this interpreter cannot run the kernel, and what to do; empty if it can."""
    if sys.version_info[:2] < OLDEST_PYTHON:
        return (
            "The notebook kernel needs Python {}.{} or newer, and {} is Python {}.{}. Run: famulus kernel install "
            "--python with a newer one."
        ).format(*OLDEST_PYTHON, sys.executable, *sys.version_info[:2])
    needed = "ipykernel>={}.{}".format(*OLDEST_IPYKERNEL)
    cure = f'Run: "{sys.executable}" -m pip install "{needed}"'
    if importlib.util.find_spec("ipykernel") is None:
        return f"{sys.executable} has no ipykernel, which the notebook kernel needs. {cure}"
    from ipykernel._version import __version__, version_info

    if version_info[:2] < OLDEST_IPYKERNEL:
        return f"The notebook kernel needs {needed}, and {sys.executable} has {__version__}. {cure}"
    return ""


def parted(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """Our own options with their values, and what is left for ipykernel."""
    own, others, rest = {}, [], list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument in OWN_OPTIONS and rest:
            own[argument] = rest.pop(0)
        else:
            others.append(argument)
    return own, others


def package_folder(here: str) -> str:
    """The folder of the package ``famulus`` that the folder of this file belongs to; empty if there is none.

    In a wheel, and through the links of a checkout, it is the folder above; where the checkout's own
    ``jupyter_kernel/`` was named, it stands beside that.
    """
    above = os.path.dirname(here)
    for folder in (above, os.path.join(above, "famulus")):
        if os.path.basename(folder) == "famulus" and os.path.isfile(os.path.join(folder, "__init__.py")):
            return folder
    return ""


def register(package: str) -> None:
    """Makes ``famulus`` importable from ``package``, and nothing else."""
    spec = importlib.util.spec_from_file_location(
        "famulus", os.path.join(package, "__init__.py"), submodule_search_locations=[package]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["famulus"] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    sys.exit(main())
