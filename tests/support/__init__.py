"""What several test files share: drawn videos, small checkpoints, models of one's own, a model server."""
