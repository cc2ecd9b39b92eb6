"""Pytrees as one vector of real numbers, and the names of its elements."""

import jax.numpy as jnp
import numpy as np
import pytest

from stablenn.interpret.host import wide_on_cpu
from stablenn.precision.gradients import probes
from stablenn.precision.gradients.layout import Layout, Leaf

LAYOUT = Layout(
    (
        Leaf("a", (2, 2), np.dtype(np.float32)),
        Leaf("z", (2,), np.dtype(np.complex64)),
        Leaf("e", (0, 3), np.dtype(np.float32)),
        Leaf("s", (), jnp.dtype(jnp.bfloat16)),
    )
)
ARRAYS = [np.arange(4, dtype=np.float32).reshape(2, 2), np.complex64([1 + 2j, 3 - 4j]), np.zeros((0, 3)), 2.5]
VECTOR = [0, 1, 2, 3, 1, 3, 2, -4, 2.5]


def test_a_vector_holds_real_parts_then_imaginary_parts_leaf_by_leaf():
    assert LAYOUT.to_host(ARRAYS).tolist() == VECTOR
    with wide_on_cpu():
        assert LAYOUT.ravel([jnp.asarray(array) for array in ARRAYS]).tolist() == VECTOR


def test_arrays_come_back_in_their_own_dtypes_on_the_host_and_wide_in_jax():
    own = LAYOUT.from_host(np.array(VECTOR, np.float64))
    assert [array.dtype.name for array in own] == ["float32", "complex64", "float32", "bfloat16"]
    with wide_on_cpu():
        wide = LAYOUT.unravel(jnp.asarray(VECTOR))
    assert [array.dtype.name for array in wide] == ["float64", "complex128", "float64", "float64"]
    for arrays in (own, wide):
        assert LAYOUT.to_host(arrays).tolist() == VECTOR


def test_names_are_written_as_the_user_would():
    assert [LAYOUT.name(i) for i in range(LAYOUT.size)] == [
        *("a[0, 0]", "a[0, 1]", "a[1, 0]", "a[1, 1]", "z[0].real", "z[1].real", "z[0].imag", "z[1].imag", "s"),
    ]


def test_formats_are_those_of_the_real_numbers():
    assert [leaf.format.name for leaf in LAYOUT.leaves] == ["float32", "float32", "float32", "bfloat16"]


@pytest.mark.parametrize("count", [1, 2, "all"])
def test_elements_come_from_every_leaf_and_never_from_infinite_ones(count):
    at = np.array([np.inf, *VECTOR[1:]])
    chosen = probes.elements(LAYOUT, at, count, np.random.default_rng(0))
    assert set(LAYOUT.owners[chosen]) == {0, 1, 3}
    assert 0 not in chosen
    if count == "all":
        assert len(chosen) == LAYOUT.size - 1


def test_directions_move_each_element_by_a_power_of_two_of_its_own_size():
    at = np.array([0.0, 1e-8, -6.0, np.inf, *VECTOR[4:]])
    line = probes.direction(LAYOUT, at, np.random.default_rng(0))
    assert np.isin(np.frexp(np.abs(line[line != 0]))[0], 0.5).all()
    assert abs(line[1]) <= 1e-8 < 2 * abs(line[1])
    assert (abs(line[2]), line[3]) == (4, 0)
    assert 2 < 2 * abs(line[0]) <= 8  # that of its leaf, since it is zero itself
