"""Benchmarks: commands of their own, with committed results."""
