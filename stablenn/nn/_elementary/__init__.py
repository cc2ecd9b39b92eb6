"""Exponentials and logarithms as unevaluated sums of two floats, by additions and multiplications alone.

XLA's own functions err by one to six ulps, by backend and version, and what is made of them errs by more. Here a
result comes as `high + low`, a few times more accurate than the nearest float, and the same wherever addition and
multiplication round correctly. The kit's functions round it once, at the end.
"""
