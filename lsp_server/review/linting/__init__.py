"""What other tools say about both sides: :mod:`.ruff` is run, :mod:`.sarif` reads the reports of any other tool, and
:mod:`.newly` tells what only the new side has."""
