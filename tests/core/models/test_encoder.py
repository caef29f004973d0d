"""What an encoder computes unless a user chooses its stages."""

import pytest

from coralbay_core.errors import InputError
from coralbay_core.models.encoder import Stage, check_strides, default_strides
from tests.support.encoders import PoolingEncoder


@pytest.mark.parametrize(
    ("known", "expected"),
    [((2, 4, 8, 16, 32), (4, 8, 16, 32)), ((1, 2, 4, 8), (4, 8)), ((2,), (2,)), ((1, 2), (1, 2))],
)
def test_default_stages_are_those_that_an_encoder_has(known, expected):
    encoder = PoolingEncoder()
    encoder.stages = tuple(Stage(stride, 1) for stride in known)
    assert default_strides(encoder) == expected
    assert check_strides(encoder, None) == expected
    assert check_strides(encoder, known[::-1]) == known


def test_no_stage_is_not_the_default():
    with pytest.raises(InputError, match="unknown stages"):
        check_strides(PoolingEncoder(), ())
