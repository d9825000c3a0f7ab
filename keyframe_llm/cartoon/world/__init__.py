"""The drawn world: its scenes, how they are drawn, and the sentences that describe them."""

__all__: list[str] = []
