"""The version, for packaging and for what is saved."""

__version__ = "0.1.0"
