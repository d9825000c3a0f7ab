"""Demonstrations: the chat page, example scripts and sample videos."""
