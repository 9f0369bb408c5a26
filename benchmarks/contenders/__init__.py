"""What the benchmarks compare: a module for each contender, run as a process of its own."""
