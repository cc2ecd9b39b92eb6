"""The real-number meaning of a program: exact rationals and proved arb balls."""
