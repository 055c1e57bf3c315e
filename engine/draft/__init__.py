"""Speculation: tokens that probably come next, computed along with the next one and kept where they were right.

No second model guesses. Code repeats what stands in the prompt, in the answer so far and in the answers before it, so
a draft is a copy: :mod:`copying` says which, :mod:`budget` how much of it is worth computing, :mod:`speculation` brings
both to a step. What is generated is the same with and without.
"""
