"""Upkeep of a bank from live adaptive tests: what its items show of themselves while they are used.

    Sittings        the responses of many adaptive tests, in the order in which they were given
    review_bank     calibrates pretest items on the bank's scale, and finds operational items that drift
    BankReview      what was found of each item

predictive.py says how likely each response was beforehand; drift.py and fit.py test items by that;
population.py estimates the examinees' distribution of ability; false_discovery.py keeps false alarms rare.
"""

from domain.cat.upkeep.review import ALGORITHM_VERSION, BankReview, review_bank
from domain.cat.upkeep.sittings import Sittings

__all__ = ["ALGORITHM_VERSION", "BankReview", "Sittings", "review_bank"]
