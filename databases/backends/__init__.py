"""The databases that this library speaks to, one module or package for each."""
