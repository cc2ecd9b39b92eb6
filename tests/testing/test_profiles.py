"""How hard the laws try: chosen by pytest's own option, without touching anybody's settings."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from stablenn.testing.profiles import PROFILES, settings_of

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("arguments", [["property_tests/test_laws.py"], []], ids=["with a path", "without"])
def test_the_profile_can_be_chosen_on_the_command_line(arguments):
    command = [sys.executable, "-m", "pytest", *arguments, "--hypothesis-profile=stablenn-ci", "-q"]
    chosen = ["-k", "types-nn.sigmoid-float32", "--collect-only", "-p", "no:cacheprovider"]
    result = subprocess.run([*command, *chosen], cwd=ROOT, capture_output=True, text=True)
    assert "types-nn.sigmoid-float32" in result.stdout, result.stdout[-1000:] + result.stderr[-1000:]
    assert result.returncode == 0


def test_profiles_scale_what_a_law_asks_for():
    assert set(PROFILES) == {"stablenn-dev", "stablenn-ci", "stablenn-nightly"}
    assert [settings_of(10, name).max_examples for name in PROFILES] == [10, 50, 500]
    assert [settings_of(10, name).derandomize for name in PROFILES] == [True, True, False]
    assert settings_of(10).max_examples == 10
    assert settings.get_profile("stablenn-ci").max_examples == 500


def test_loading_the_laws_touches_nobodys_settings():
    code = """
from hypothesis import settings
before = settings.get_current_profile_name(), settings.default
import stablenn.testing.laws
assert before == (settings.get_current_profile_name(), settings.default)
settings.load_profile("stablenn-ci")
from stablenn.testing.profiles import settings_of
print(settings_of(10).max_examples)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.stdout, result.returncode) == ("50\n", 0), result.stderr
