"""Differential item functioning: does an item behave differently for people of equal ability in two groups?

Everywhere: `group` is 0 for the reference group and 1 for the focal group; a missing response leaves the
person out for that item only.

    mantel_haenszel   right or wrong, matched on the score (or on strata of your own); ETS classes
    polytomous        ordered categories: Mantel's test, the generalised test, standardised difference
    logistic          logistic regression: uniform, non-uniform, both; effect sizes
    lord, raju        from item parameters of two calibrations: chi-square, areas between the curves
    calibrated        the same from responses: both groups calibrated, linked and compared
    adaptive          the first and third for data of adaptive tests, matched on estimated ability
"""
