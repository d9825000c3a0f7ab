"""How much each candidate frame matters to a text, and which of them are chosen."""

__all__: list[str] = []
