"""Famulus: a developer assistant that lives on the developer's own machine."""

__version__ = "0.1.0"
