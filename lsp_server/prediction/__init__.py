"""Error prediction: what is wrong in the code, said before it runs and while the user pauses."""
