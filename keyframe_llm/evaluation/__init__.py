"""How good a selection is: metrics, other selectors on the same embeddings, and readers of data sets."""

from keyframe_llm.evaluation.datasets import Dataset, Sample, dataset_names, load_dataset
from keyframe_llm.evaluation.selectors import SELECTORS, Footage, Selector

__all__ = ["SELECTORS", "Dataset", "Footage", "Sample", "Selector", "dataset_names", "load_dataset"]
