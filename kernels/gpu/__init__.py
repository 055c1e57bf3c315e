"""The Triton implementations of the operations, one module for each family; importing it needs Triton.

Nothing else in :mod:`famulus.kernels` imports Triton: :func:`famulus.kernels.op.load_gpu` imports the families here
when an operation first meets a tensor on a GPU. Kernels take their compute dtype as a constant (Triton's interpreter
computes wrongly in bf16), carry no ``@autotune`` (their configurations come from :mod:`famulus.kernels.tuned`), and are
launched through :func:`famulus.kernels.gpu.launch.launch`, so that they can be compiled for cards that are not there.
"""
