"""How good a selection is: metrics, every selector on the same index, and readers of data sets."""

__all__: list[str] = []
