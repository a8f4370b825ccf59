"""The books of benchmarks/public_domain.py, and how they become songs and prose."""
