"""What benchmarks/sqlite.py compares: a module for each contender, each run as a process."""
