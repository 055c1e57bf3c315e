"""Benchmarks: ``famulus bench NAME`` prints tables; nothing here asserts speed."""
