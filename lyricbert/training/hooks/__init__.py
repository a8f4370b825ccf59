"""What happens at a step boundary: log, stop, evaluate, checkpoint. A file a hook."""
