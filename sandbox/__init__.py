"""One launcher for code that nobody has read yet."""
