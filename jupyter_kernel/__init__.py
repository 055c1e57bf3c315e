"""The notebook kernel: ordinary Python, and cells in plain words. Needs the standard library and ipykernel alone."""
