"""Calibration: item parameters from responses, by marginal maximum likelihood.

    calibrate       all the models, with priors, missing responses, known items held fixed
    marginal_log_likelihood   of any items on any grid: the one evaluator for comparing estimates
    Priors          what is assumed of a, c and d beforehand
    Anchors         items whose parameters are known

curves.py turns items into unbounded parameters; expectation.py is the E-step, maximisation.py the M-step;
acceleration.py climbs; uncertainty.py gives standard errors.
"""

from domain.cat.calibration.calibrate import (
    Anchors,
    Calibration,
    Errors,
    Model,
    calibrate,
    marginal_log_likelihood,
)
from domain.cat.calibration.priors import Beta, LogNormal, Priors

__all__ = [
    "Anchors",
    "Beta",
    "Calibration",
    "Errors",
    "LogNormal",
    "Model",
    "Priors",
    "calibrate",
    "marginal_log_likelihood",
]
