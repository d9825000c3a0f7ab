"""`python -m keyframe_llm.cli` is `keyframe-llm`."""

import sys

from keyframe_llm.cli import main

sys.exit(main())
