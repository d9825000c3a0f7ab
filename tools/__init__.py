"""Agent tools over the key-frame pipeline."""
