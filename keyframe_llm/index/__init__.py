"""What is known of one video without a question, made once and kept."""

__all__: list[str] = []
