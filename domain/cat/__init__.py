"""The numerics of adaptive testing: item response models, ability, calibration, fit, DIF, linking, selection.

Everything here is pure: arrays in, frozen results out. Scale: logits, logistic metric, D = 1. Responses
are integers, 0 to K - 1, with `MISSING` (-1) where none was given. Citation keys such as [Bock1981] stand
in REFERENCES.md beside this file.
"""
