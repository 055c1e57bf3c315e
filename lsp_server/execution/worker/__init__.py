"""What runs inside: needs the standard library of Python 3.8 only, and is imported by nothing of ours but its tests.

The project's own Python runs it under the name ``famulus_worker``; see :mod:`..version` and :mod:`..testrun`.
"""
