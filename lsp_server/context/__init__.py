"""What a model should see beside the file itself: ranked, small, and the same from keystroke to keystroke."""
