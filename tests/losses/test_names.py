"""Every loss of optax is here, with its signature."""

import inspect

import optax.losses
import pytest

from stablenn import losses

THEIRS = sorted(n for n in dir(optax.losses) if not n.startswith("_") and callable(getattr(optax.losses, n)))


@pytest.mark.parametrize("name", THEIRS)
def test_a_loss_of_optax_has_its_signature_here(name):
    ours, theirs = (
        [(p.name, p.kind, p.default) for p in inspect.signature(getattr(module, name)).parameters.values()]
        for module in (losses, optax.losses)
    )
    assert ours[: len(theirs)] == theirs
    assert all(kind is inspect.Parameter.KEYWORD_ONLY for _, kind, _ in ours[len(theirs) :])


def test_what_meets_the_bars_is_that_of_optax():
    same = {name for name in THEIRS if getattr(losses, name) is getattr(optax.losses, name)}
    assert same == {"make_fenchel_young_loss", "perceptron_loss"}
    assert all(f"`{name}`" in losses.__doc__ for name in same)
    assert set(THEIRS) <= set(dir(losses))


def test_another_name_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'focal'"):
        _ = losses.focal
