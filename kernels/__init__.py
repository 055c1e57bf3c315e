"""Every hot operation: its maths, a reference, and the implementations behind one dispatcher."""
