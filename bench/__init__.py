"""Measures the hot paths: each file prints ratios against a limit measured in the same run."""
