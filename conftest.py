"""Makes the profiles of the laws known to pytest's option --hypothesis-profile, and keeps a Spec's tests together."""

import re

import pytest

from stablenn.testing import profiles as profiles

# The name of a Spec in the brackets of a test's identifier.
_SPEC = re.compile(r"\[.*?(?<![\w.])((?:nn|losses)\.\w+)")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """One worker gets all the tests of a Spec: it compiles each program, and finds each exact value, only once."""
    from xdist.scheduler import LoadScopeScheduling

    class BySpec(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            found = _SPEC.search(nodeid)
            return found[1] if found else super()._split_scope(nodeid)

    return BySpec(config, log)
