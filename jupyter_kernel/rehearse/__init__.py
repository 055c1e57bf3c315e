"""Trying code on a copy of the kernel. What the code does to objects stays in the copy; what it tries to do outside is
refused and named. :class:`Rehearser` is for the kernel's main thread; importing it starts nothing."""

from famulus.jupyter_kernel.rehearse.rehearser import CannotRehearse, Rehearser

__all__ = ["CannotRehearse", "Rehearser"]
