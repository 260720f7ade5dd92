"""Does the model hold? By item (S-X2, mean squares), by pair (Q3), by person (lz) and as a whole (M2).

No statistic here estimates anything: items, responses and, where one is needed, abilities come in; named
results come out. A statistic that is not defined (no responses, no variance, no degree of freedom) is NaN.
"""
