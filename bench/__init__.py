"""Benchmarks and the fault harness: numbers to read, never assertions on time. See README.md."""
