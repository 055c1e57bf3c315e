"""Whether two versions of a piece of code must behave the same, decided from the code alone.

:mod:`.canonical` writes Python in one way, :mod:`.statements` finds the statements that differ, :mod:`.codes` compares
what they compile to, :mod:`.moves` what only moved, and :mod:`.trees` does other languages. Each of them may only err
by saying "not the same".
"""
