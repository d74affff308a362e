"""Benchmarks: what the server costs, beside other servers on the same machine.

``python -m benchmarks --help``; docs/topics/performance.md says what the numbers mean.
"""
