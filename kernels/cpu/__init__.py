"""Kernels for the processor in C++, compiled when the package is installed, where there is a compiler."""
