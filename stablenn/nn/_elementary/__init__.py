"""Exponentials and logarithms as unevaluated sums of two floats, by additions and multiplications alone.

XLA's own functions err by one to six ulps, by backend and version. What is made of them errs by more. Here a result
comes as `high + low` with a relative error up to 2^-26 in float32 and 2^-55 in float64, the same wherever addition and
multiplication round correctly. The kit's functions round it once, at the end.
"""
