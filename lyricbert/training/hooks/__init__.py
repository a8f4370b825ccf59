"""Hooks that run at step boundaries: log, stop, evaluate, checkpoint. Each has its own file."""
