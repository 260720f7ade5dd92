"""What only reading can refuse."""

from domain.errors import IllegalState, Unavailable


class ReadModelBehind(Unavailable):
    """The read side has not yet seen the write that the consistency token names; carries `retry_after_s`."""

    code = "read-model-behind"
    title = "The latest change is not visible yet; ask again in a moment"


class ReadStoreUnreachable(Unavailable):
    """The database does not answer, or not in time; carries `retry_after_s`."""

    code = "read-store-unreachable"
    title = "The data cannot be read at the moment; ask again in a moment"


class AnalysisOfAdaptiveExam(IllegalState):
    """Examinees of an adaptive exam have different items: see its own report instead."""

    code = "analysis-of-adaptive-exam"
    title = "Classical item analysis says nothing of an adaptive exam"


class ResultsNotReleased(IllegalState):
    """The results of this exam are not for its examinees' eyes yet; `release` says when they will be."""

    code = "results-not-released"
    title = "The results are not released yet"
