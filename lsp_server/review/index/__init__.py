"""Definitions, references and their resolution in one version of a Python project.

:mod:`.facts` is what one file says, :mod:`.reader` reads it, :mod:`.store` keeps it on disk, :mod:`.project` joins the
files of a tree, :mod:`.resolution` tells what a name means, :mod:`.binding` whether a call fits.
"""
