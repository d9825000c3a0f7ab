"""What any text has in common with a frame: the plain texts and their mean."""

import numpy as np

from keyframe_llm.scoring.baseline import plain_embedding, plain_texts


class Words:
    """An encoder that knows some of the plain texts, each as a direction of its own."""

    def __init__(self, known: int) -> None:
        self.known, self.asked = known, 0

    def embed_images(self, images):
        raise AssertionError("no picture is needed")

    def embed_texts(self, texts):
        self.asked += 1
        rows = np.zeros((len(texts), 100), np.float32)
        rows[np.arange(self.known), np.arange(self.known)] = 7.0
        return rows


def test_the_plain_texts_are_many_and_all_different():
    assert len(set(plain_texts())) == len(plain_texts()) >= 50


def test_unknown_texts_are_left_out_of_the_mean():
    mean = plain_embedding(Words(4))
    np.testing.assert_allclose(mean[:4], 0.25)
    assert not mean[4:].any()


def test_an_encoder_that_knows_none_compares_with_nothing():
    assert not plain_embedding(Words(0)).any()
