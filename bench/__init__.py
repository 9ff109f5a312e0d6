"""Benchmarks. Each prints a ratio to a baseline measured in the same run. See ``python -m bench.NAME --help``."""
