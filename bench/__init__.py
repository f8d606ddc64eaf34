"""Benchmarks: each compares with a named peer, or with the bare primitives, in the same run."""
