"""Runs a project's functions and tests with the project's own Python, in the sandbox.

:mod:`.interpreter` finds that Python, :mod:`.layout` what its modules are called, :mod:`.checkout` writes a version
of the project into a private folder, :mod:`.version` imports modules of it and makes calls, :mod:`.pair` holds two.
:mod:`.calls`, :mod:`.inputs`, :mod:`.shrink` say which calls; :mod:`.outcome` how two answers differ; :mod:`.search`
puts it together.
"""
