"""Posthouse: short links, notifications and files as one application."""
