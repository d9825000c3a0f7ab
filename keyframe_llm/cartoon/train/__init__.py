"""Training of the two embedded models; not in the wheel, for a checkout has all that it needs."""

__all__: list[str] = []
