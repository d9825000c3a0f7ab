"""`python -m keyframe_llm.cli` is `keyframe-llm`."""

from keyframe_llm.cli import command

command()
