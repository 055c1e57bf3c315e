"""What a change breaks, proved by running it: usable without an editor.

:mod:`.change` is what is reviewed, :mod:`.finding` what comes out, :mod:`.rule` how a rule is written, and
:mod:`.rules` the rules.
"""
