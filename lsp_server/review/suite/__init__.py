"""Tests as a review reads them: :mod:`.collected` finds them in a file, :mod:`.assertions` what they demand."""
