"""Runs contenders side by side: what the benchmarks of all databases have in common."""
