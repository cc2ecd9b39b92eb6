"""Makes the profiles of the laws known to pytest's option --hypothesis-profile."""

from stablenn.testing import profiles as profiles
