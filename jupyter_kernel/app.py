"""The application around the kernel: ipykernel's own, which runs our kernel and keeps the user's path as it was."""

from __future__ import annotations

import os
import sys

from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp
from traitlets import default
from traitlets.config import Config


class FamulusKernelApp(IPKernelApp):
    """ipykernel's application with another kernel. It reads the same configuration files, under the same names."""

    @default("kernel_class")
    def _our_kernel(self) -> type[IPythonKernel]:
        from famulus.jupyter_kernel.kernel import FamulusKernel

        return FamulusKernel

    @classmethod
    def prepared(cls, famulus_python: str, home: str) -> FamulusKernelApp:
        """The one application of this process. ``famulus_python`` starts the engine, whose folder is ``home``; where
        one is empty, the kernel's default holds."""
        said = {"famulus_python": famulus_python, "famulus_home": home}
        given = {name: value for name, value in said.items() if value}
        app: FamulusKernelApp = cls.instance(config=Config({"FamulusKernel": given}))
        return app

    def init_path(self) -> None:
        """The current folder joins ``sys.path`` where the stock kernel puts it: behind the standard library.

        IPython leaves it out of a process that was started with ``-P``, as ours always is; the user's own wish
        (``PYTHONSAFEPATH``, ``ignore_cwd``) counts.
        """
        if "" in sys.path or self.ignore_cwd or os.environ.get("PYTHONSAFEPATH"):
            return
        packages = ("site-packages", "dist-packages")
        places = [place for place, path in enumerate(sys.path) if os.path.basename(path) in packages]
        sys.path.insert(places[0] if places else 0, "")
