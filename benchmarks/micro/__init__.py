"""Benchmarks of parts of the code, in one process and without sockets: what a commit changes."""
