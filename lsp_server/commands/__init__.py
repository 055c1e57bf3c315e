"""What a user asks for by name: explain, fix, write a docstring, rewrite, a commit message. Nothing of it is applied
without a yes."""
