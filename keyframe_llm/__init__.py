"""Give a Video-LLM the two or three frames that matter."""
