"""Tournaments where other libraries have a place for them. None of these libraries is needed by `bon`."""
