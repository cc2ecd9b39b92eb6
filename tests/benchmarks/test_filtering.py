"""The filter of the sweeps: it finds a fault at a single input wherever it lies; its figures are the metric's."""

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import filtering
from benchmarks.filtering import Chunk, Subject, careful_errors, chunks_of, examine, inputs_of, quantile, wrong_zero
from stablenn import floats
from stablenn.precision.devices import find_device
from stablenn.precision.domain import Domain

DEVICE = find_device()
BLOCK, SLICE = 1 << 14, 1 << 12
FIRST = int(np.float32(1).view(np.uint32))
CHUNK = Chunk(FIRST, FIRST + 5 * BLOCK + 2 * SLICE)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(filtering, "BLOCK", BLOCK)
    monkeypatch.setattr(filtering, "_SLICE", SLICE)


def in_float32_only(wrong, right):
    return lambda x: wrong(x) if x.dtype == np.float32 else right(x)


def at(bits, wrong, right):
    """`right`, but for one input."""
    where = float(inputs_of([bits])[0])
    return lambda x: jnp.where(x == where, wrong(x), right(x))


def scan(fn, chunk=CHUNK, quantity="value", **kwargs):
    return examine(Subject(fn, quantity, DEVICE), chunk, **kwargs)


def seen(found):
    return {bits for bits, _ in found.worst} | set(found.examine)


def nan(x):
    return x * jnp.nan


def inf(x):
    return jnp.full_like(x, jnp.inf)


FAULTS = {
    "eight ulps": lambda x: jnp.exp(x) * (1 + 2.0**-20),
    "NaN": nan,
    "zero": jnp.zeros_like,
    "infinity": inf,
    "the other sign": lambda x: -jnp.exp(x),
}
LAST = CHUNK.last - FIRST
EDGES = [(0, 1, SLICE - 1, SLICE + 1), (SLICE, BLOCK - 1, BLOCK + 1), (BLOCK, LAST - 1, LAST)]

both_ways = pytest.mark.parametrize("shared", [False, True], ids=["float32", "both precisions"])


@both_ways
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_one_input_goes_to_exact_judgement(fault, shared):
    fn = at(FIRST + 54321, FAULTS[fault], jnp.exp)
    assert FIRST + 54321 in seen(scan(fn if shared else in_float32_only(fn, jnp.exp)))


@both_ways
@pytest.mark.parametrize("offsets", EDGES)
def test_faults_at_the_edges_of_blocks_and_slices_are_found(offsets, shared):
    fn = jnp.exp
    for offset in offsets:
        fn = at(FIRST + offset, FAULTS["eight ulps"], fn)
    assert {FIRST + offset for offset in offsets} <= seen(scan(fn if shared else in_float32_only(fn, jnp.exp)))


@both_ways
@pytest.mark.parametrize("around", [nan, inf, jnp.zeros_like, lambda x: x * 2.0**-100 * 2.0**-40])
@pytest.mark.parametrize("wrong", [nan, jnp.ones_like])
def test_a_fault_amid_nan_infinities_zeros_or_flushed_results_is_found(around, wrong, shared):
    if around is wrong:
        around = jnp.zeros_like
    bits = FIRST + 54321
    fn = at(bits, wrong, around)
    assert bits in seen(scan(fn if shared else in_float32_only(fn, around)))


def test_a_wrong_derivative_at_one_input_is_found():
    bits = FIRST + 777
    assert bits in seen(scan(at(bits, lambda x: 2 * x, jnp.exp), quantity="gradient"))


def test_a_smooth_function_has_no_breaks():
    found = scan(jnp.exp)
    assert (found.breaks, found.count, found.wrong_specials, found.zeros) == (0, 5 * BLOCK + 2 * SLICE + 1, 0, 0)
    assert len(found.examine) <= 2 + filtering._BLIND


def test_what_is_wrong_is_counted():
    third = lambda x, wrong: jnp.where((x > 1.01) & (x < 1.02), wrong, jnp.exp(x))
    x = inputs_of(np.arange(CHUNK.first, CHUNK.last + 1))
    there = int(np.count_nonzero((x > np.float32(1.01)) & (x < np.float32(1.02))))
    assert scan(in_float32_only(lambda x: third(x, jnp.nan), jnp.exp)).wrong_specials == there
    assert scan(in_float32_only(lambda x: third(x, 0), jnp.exp)).zeros == there


def test_flushed_results_are_counted_and_no_error():
    found = scan(lambda x: x * 2.0**-100 * 2.0**-40)
    assert (found.flushed, found.max_ulp, found.zeros) == (found.count, 0, 0)


def test_zero_in_place_of_a_subnormal_number_that_rounds_to_a_normal_one_is_not_wrong():
    wide = 2.0**-126 * np.array([1 - 2.0**-25, 1, -1, -1 + 2.0**-25])
    assert wrong_zero(np.zeros(4, np.float32), wide).tolist() == [False, True, True, False]
    assert not wrong_zero(np.float32([1, 2.0**-126]), wide[1:3]).any()


@pytest.mark.parametrize("fn", [jnp.exp, jnp.log, jnp.tanh, lambda x: x - 1.0001, lambda x: jnp.exp(x * 87.9)])
def test_errors_are_those_of_the_metric(fn):
    found = scan(fn)
    subject = Subject(fn, "value", DEVICE)
    errors = careful_errors(*subject.evaluate(inputs_of(np.arange(CHUNK.first, CHUNK.last + 1))), flush=True)
    assert found.max_ulp == pytest.approx(errors.max(), rel=1e-12)
    assert found.total == pytest.approx(errors.sum(), rel=1e-9)
    assert [error for _, error in found.worst] == pytest.approx(np.sort(errors)[: -len(found.worst) - 1 : -1])
    assert quantile(found.histogram, 0.99) == pytest.approx(np.quantile(errors, 0.99), rel=0.1, abs=0.1)


def test_scaled_errors_are_followed_by_themselves():
    """Near 1 the plain errors of x^2 - 1 are the largest, and the scaled ones are not."""
    subject = Subject(lambda x: x * x - 1, "value", DEVICE, lambda x: x * x)
    chunk = Chunk(FIRST - 1000, FIRST - 1)
    x = inputs_of(np.arange(chunk.first, chunk.last + 1))
    narrow, wide = subject.evaluate(x)
    scaled = np.abs(narrow - wide) / floats.ulp(x.astype(np.float64) ** 2, "float32")
    found = examine(subject, chunk)
    assert chunk.first + int(scaled.argmax()) in seen(found)


@pytest.mark.parametrize("stride", [1, 3, 4096])
def test_a_stride_takes_its_share_and_both_ends(stride):
    bits = np.concatenate(list(CHUNK.blocks(stride)))
    assert (bits[0], bits[-1], len(bits)) == (CHUNK.first, CHUNK.last, CHUNK.size(stride))
    assert np.all(np.diff(bits.astype(np.int64)) > 0)
    if stride == 1:
        assert len(bits) == CHUNK.last - CHUNK.first + 1


@pytest.mark.parametrize(
    ("domain", "count"),
    [
        ("x: float32", 2 * 254 << 23),
        ("x: float32 in [0, 1]", (127 - 1 << 23) + 1),
        ("x: float32 in (-1, 2)", (127 - 1 << 23) + (128 - 1 << 23)),
        ("x: float32 in [-4, -2]", (1 << 23) + 1),
    ],
)
def test_chunks_hold_every_normal_float_of_a_domain_once(domain, count):
    (argument,) = Domain.parse(domain).arguments
    chunks = chunks_of(argument, subnormals=False)
    assert sum(chunk.size() for chunk in chunks) == count
    assert len({chunk.binade for chunk in chunks}) == len(chunks)
    for chunk in (chunks[0], chunks[-1]):
        sign, exponent = chunk.binade
        x = float(inputs_of([chunk.first])[0])
        assert (np.sign(x), np.frexp(x)[1] - 1) == (sign, exponent)


def test_subnormal_inputs_are_swept_where_the_device_keeps_them(monkeypatch):
    monkeypatch.setattr(filtering, "flushes_subnormals", lambda dtype, device: False)
    (argument,) = Domain.parse("x: float32 in [-1e-38, 1e-38]").arguments
    chunks = chunks_of(argument, subnormals=True)
    assert [chunk.binade for chunk in chunks] == [(1, -127), (-1, -127)]
    kept, lost = (scan(fn, Chunk(chunks[0].last - 4 * SLICE, chunks[0].last)) for fn in (jnp.abs, lambda x: x * 0.5))
    assert (kept.max_ulp, kept.flushed) == (0, 0)  # a move keeps the bits, on every device
    assert (lost.max_ulp > 1e6, lost.flushed) == (True, lost.count)

    (argument,) = Domain.parse("x: float32").arguments
    with_them, without = (sum(c.size() for c in chunks_of(argument, subnormals=s)) for s in (True, False))
    assert with_them - without == 2 * (2**23 - 1)
    assert with_them + 2 + 2 + 2 * (2**23 - 1) == 2**32  # zeros, infinities, NaNs
