"""The drawn world: its scenes, how they are drawn, and the language that tells of them."""

__all__: list[str] = []
