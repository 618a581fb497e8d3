from __future__ import annotations

import numpy as np

from provenance.convolution import coded_length, decode, encode


def test_a_clean_message_comes_back() -> None:
    random = np.random.default_rng(0)
    for length in (1, 7, 80):
        bits = random.integers(0, 2, length).astype(np.uint8)
        coded = encode(bits)
        assert coded.shape == (coded_length(length),)
        assert set(np.unique(coded)) <= {-1.0, 1.0}
        np.testing.assert_array_equal(decode(coded), bits)


def test_any_two_messages_differ_in_22_coded_bits() -> None:
    # The code is linear: as many as any message has that differ from those of zeros. Longer ones have more.
    ones = [np.unpackbits(np.array([0x80 | k >> 3, k << 5 & 0xE0], np.uint8))[:11] for k in range(1 << 10)]
    assert min(int((encode(bits) > 0).sum()) for bits in ones) == 22


def test_it_corrects_what_repeating_could_not() -> None:
    # At this noise 13 % of the coded bits have the wrong sign; three repetitions with a soft decision would leave 2.6 %
    # of the bits wrong, so only one message of eight whole.
    random = np.random.default_rng(1)
    whole = 0
    for _ in range(40):
        bits = random.integers(0, 2, 80).astype(np.uint8)
        received = encode(bits) + random.normal(0, 0.89, coded_length(80))
        whole += np.array_equal(decode(received), bits)
    assert whole >= 36


def test_any_ten_percent_of_wrong_signs_in_a_row_are_too_many_but_spread_ones_are_not() -> None:
    bits = np.random.default_rng(2).integers(0, 2, 80).astype(np.uint8)
    spread, burst = encode(bits), encode(bits)
    spread[::10] *= -1
    burst[100:126] *= -1
    np.testing.assert_array_equal(decode(spread), bits)
    assert not np.array_equal(decode(burst), bits)
