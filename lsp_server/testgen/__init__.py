"""Tests that were run, that fail when the code is wrong, and that read as if a person wrote them.

Usable without an editor: :mod:`.target` says what is tested, :mod:`.examples` what the code answers today,
:mod:`.kills` which answers notice a mutant, :mod:`.selection` which of them are enough, :mod:`.writing` how they read,
:mod:`.proof` that they hold; :mod:`.generate` puts it together.
"""
