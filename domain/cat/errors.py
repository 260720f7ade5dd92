"""What the numerics refuse, before anything starts. All are `Malformed`: see domain/errors.py.

CatError
├── InvalidItem       parameters that are no item: names the row of the bank
├── InvalidResponse   a response that the item does not have: names row and column
├── InvalidGrid       points and weights that are no distribution
├── InvalidLimits     a rule of when a test ends that makes no sense
├── Infeasible        constraints that no test can meet: names them
└── TooFewItems       fewer items than are needed

Not converging is no error: results carry `converged`.
"""

from domain.errors import Malformed


class CatError(Malformed):
    """Base of everything that `domain.cat` refuses."""

    code = "unusable-cat-input"
    title = "The numbers given cannot be used"


class InvalidItem(CatError):
    """Carries `row` (from 0; -1 where it is the bank as a whole) and `reason`."""

    code = "invalid-item-parameters"
    title = "An item's parameters cannot be used"

    def __init__(self, row: int, reason: str) -> None:
        super().__init__(row=row, reason=reason)

    def detail(self) -> str:
        return f"Item in row {self.row}: {self.reason}." if self.row >= 0 else f"Items: {self.reason}."


class InvalidResponse(CatError):
    """Carries `row` and `column` (from 0; -1 where it is the table as a whole) and `reason`."""

    code = "invalid-response"
    title = "A response cannot be used"

    def __init__(self, row: int, column: int, reason: str) -> None:
        super().__init__(row=row, column=column, reason=reason)

    def detail(self) -> str:
        if self.row < 0:
            return f"Responses: {self.reason}."
        return f"Response in row {self.row}, column {self.column}: {self.reason}."


class InvalidGrid(CatError):
    """Carries `reason`."""

    code = "invalid-grid"
    title = "The grid of abilities cannot be used"

    def __init__(self, reason: str) -> None:
        super().__init__(reason=reason)

    def detail(self) -> str:
        return f"Grid: {self.reason}."


class InvalidLimits(CatError):
    """Carries `reason`."""

    code = "invalid-cat-limits"
    title = "The limits of the test cannot be used"

    def __init__(self, reason: str) -> None:
        super().__init__(reason=reason)

    def detail(self) -> str:
        return f"Limits of the test: {self.reason}."


class Infeasible(CatError):
    """Carries `constraints`, the names of those that cannot be met together."""

    code = "infeasible-constraints"
    title = "No test meets the constraints"

    def __init__(self, constraints: tuple[str, ...]) -> None:
        super().__init__(constraints=constraints)

    def detail(self) -> str:
        return f"No test meets the constraints: {', '.join(self.constraints)}."


class TooFewItems(CatError):
    """Carries `have` and `wanted`."""

    code = "too-few-items"
    title = "There are too few items"

    def __init__(self, have: int, wanted: int) -> None:
        super().__init__(have=have, wanted=wanted)

    def detail(self) -> str:
        return f"There are {self.have} items where {self.wanted} are needed."
