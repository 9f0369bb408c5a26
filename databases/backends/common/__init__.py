"""A place that code written for databases 0.9 imports from."""
