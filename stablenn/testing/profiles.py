"""Hypothesis profiles of the laws: how many examples, without touching anybody's settings.

The laws take their settings from the profile that is current if it is one of ours, and from `stablenn-dev`
otherwise; choose one by ``pytest --hypothesis-profile=stablenn-ci``. Of `stablenn-dev` and `stablenn-ci` every run is
the same; `stablenn-nightly` is new each time.
"""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

# How many times the examples that a law asks for.
PROFILES = {"stablenn-dev": 1, "stablenn-ci": 5, "stablenn-nightly": 50}

for _name, _factor in PROFILES.items():
    settings.register_profile(_name, max_examples=100 * _factor)


def settings_of(examples: int, profile: str | None = None) -> settings:
    """The settings of a law that asks for `examples` examples."""
    current = profile or settings.get_current_profile_name()
    name = current if current in PROFILES else "stablenn-dev"
    return settings(
        max_examples=examples * PROFILES[name],
        derandomize=name != "stablenn-nightly",
        database=None,
        deadline=None,
        # The worst case is kept by the law: shrinking would turn it into one that barely fails. And no target: errors
        # are no smooth function of a seed, and all functions are to be tried at the same inputs.
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
