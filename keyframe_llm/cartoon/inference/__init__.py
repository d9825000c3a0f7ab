"""The embedded models without torch: their forward passes in NumPy, from the same weights.

Importing torch and transformers takes longer than everything else that a question about a short video takes.
Tests hold every row and every probability to those of transformers.
"""

__all__: list[str] = []
