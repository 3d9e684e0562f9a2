"""Border pixels against tables made by hand from TensorFlow's documented rule."""

from __future__ import annotations

from itertools import product

import pytest

from bnn_ablate.borders import borders, borders_2d, equal_sides

#: (size, kernel, stride, dilation): border pixels of "same". Outputs are ceil(size / stride); what they need beyond the
#: image is halved, the odd pixel after.
SAME = {
    (5, 3, 1, 1): (1, 1),
    (5, 3, 1, 2): (2, 2),
    (8, 1, 1, 1): (0, 0),
    (8, 1, 2, 1): (0, 0),  # reads pixels 0, 2, 4, 6
    (7, 1, 3, 1): (0, 0),
    (8, 3, 2, 1): (0, 1),  # centres 1, 3, 5, 7: only pixel 8 is beyond the image
    (7, 3, 2, 1): (1, 1),
    (2, 3, 2, 1): (0, 1),
    (1, 3, 2, 1): (1, 1),
    (6, 3, 2, 2): (1, 2),
    (7, 3, 3, 1): (1, 1),
    (8, 3, 3, 1): (0, 1),
    (9, 3, 3, 1): (0, 0),
    (6, 5, 2, 1): (1, 2),
    (7, 5, 2, 1): (2, 2),
    (224, 7, 2, 1): (2, 3),  # the stem of ImageNet networks
    (112, 3, 2, 1): (0, 1),  # and its MaxPool
    (5, 7, 1, 2): (6, 6),
    (13, 6, 5, 1): (1, 2),  # the example of TensorFlow's documentation
}

SYMMETRIC = {
    (8, 1, 2, 1): (0, 0),
    (8, 3, 2, 1): (1, 1),
    (7, 3, 1, 2): (2, 2),
    (224, 7, 2, 1): (3, 3),
    (5, 5, 3, 2): (4, 4),
}


@pytest.mark.parametrize(("size", "kernel", "stride", "dilation"), SAME)
def test_same_borders_are_those_of_tensorflow(size: int, kernel: int, stride: int, dilation: int) -> None:
    found = borders(size, kernel=kernel, stride=stride, dilation=dilation, side="same")
    assert found == SAME[size, kernel, stride, dilation]


@pytest.mark.parametrize(("size", "kernel", "stride", "dilation"), SYMMETRIC)
def test_symmetric_borders_do_not_depend_on_the_size(size: int, kernel: int, stride: int, dilation: int) -> None:
    for any_size in (size, size + 1):
        found = borders(any_size, kernel=kernel, stride=stride, dilation=dilation, side="symmetric")
        assert found == SYMMETRIC[size, kernel, stride, dilation]


@pytest.mark.parametrize("side", ["symmetric", "same"])
def test_either_rule_gives_size_over_stride_outputs_rounded_up(side: str) -> None:
    for size, kernel, stride, dilation in product(range(1, 18), (1, 3, 5, 7), (1, 2, 3), (1, 2)):
        padded = size + sum(borders(size, kernel=kernel, stride=stride, dilation=dilation, side=side))
        starts = range(0, padded - dilation * (kernel - 1), stride)
        assert len(starts) == (size + stride - 1) // stride


def test_borders_of_an_image_stand_in_the_order_of_pad() -> None:
    assert borders_2d(8, 7, kernel=3, stride=2, dilation=1, side="same") == (1, 1, 0, 1)


@pytest.mark.parametrize(
    ("pixels", "equal"), [((0, 0, 0, 0), True), ((1, 1, 2, 2), True), ((0, 1, 1, 1), False), ((1, 1, 0, 1), False)]
)
def test_borders_are_equal_where_opposite_sides_are(pixels: tuple[int, int, int, int], equal: bool) -> None:
    assert equal_sides(pixels) == equal
