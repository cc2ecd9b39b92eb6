"""Whoever imports nn from stablenn instead of jax finds every name, with its arguments."""

import inspect
import re

import jax
import pytest

from stablenn import nn

NAMES = [name for name in dir(jax.nn) if not name.startswith("_")]
every_name = pytest.mark.parametrize("name", NAMES)


@every_name
def test_every_name_of_jax_is_here(name):
    assert hasattr(nn, name)


def arguments(fn):
    return [(p.name, p.kind, p.default) for p in inspect.signature(fn).parameters.values()]


@pytest.mark.parametrize("name", [name for name in NAMES if callable(getattr(jax.nn, name)) and hasattr(nn, name)])
def test_arguments_are_those_of_jax(name):
    theirs, ours = arguments(getattr(jax.nn, name)), arguments(getattr(nn, name))
    assert ours[: len(theirs)] == theirs
    assert all(kind == inspect.Parameter.KEYWORD_ONLY for _, kind, _ in ours[len(theirs) :])


def test_the_table_names_precisely_what_is_taken_from_jax():
    rule = r"^=+  =+$"
    _, _, body, _ = re.split(rule, inspect.getdoc(nn), flags=re.MULTILINE)
    named = [name for row in body.strip().splitlines() for name in re.split(" {2,}", row)[0].split(", ")]
    assert sorted(named) == [name for name in NAMES if getattr(nn, name, None) is getattr(jax.nn, name)]


def test_what_is_taken_from_jax_is_nothing_more():
    foreign = [
        name for name in dir(nn) if getattr(getattr(nn, name), "__module__", "stablenn").split(".")[0] != "stablenn"
    ]
    assert [name for name in foreign if not name.startswith("_") and name not in NAMES] == []


def test_aliases_are_one_function():
    assert nn.hard_swish is nn.hard_silu
