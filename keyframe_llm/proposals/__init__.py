"""Which frames of a video may be chosen: sampled, clustered, and made denser where a text comes."""

__all__: list[str] = []
