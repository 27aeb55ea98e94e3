"""Measurements a person makes by hand. Never deployed, never part of the tests' verdict."""
