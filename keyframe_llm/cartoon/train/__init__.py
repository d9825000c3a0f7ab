"""Training of the two embedded models; the wheel does not hold this package, the repository does."""

__all__: list[str] = []
