"""Ids in paths, as the routes of both APIs declare them.

Any text is taken here: what cannot be the id of anything is answered with 404, like what does not exist.
"""

from typing import Annotated

from fastapi import Path

from infra.http.text import EXAMPLE_UUID7

ExamId = Annotated[str, Path(description="Id of the exam.", examples=[f"exam-{EXAMPLE_UUID7}"])]
AttemptId = Annotated[str, Path(description="Id of the attempt.", examples=[f"attempt-{EXAMPLE_UUID7}"])]
BankId = Annotated[str, Path(description="Id of the item bank.", examples=[f"item_bank-{EXAMPLE_UUID7}"])]
CalibrationId = Annotated[str, Path(description="Id of the calibration.", examples=[EXAMPLE_UUID7])]
ItemIdInPath = Annotated[str, Path(description="Id of the item.", examples=[f"item-{EXAMPLE_UUID7}"])]
OrgId = Annotated[
    str, Path(description="Id of the organisation.", examples=[f"organization-{EXAMPLE_UUID7}"])
]
ClassId = Annotated[str, Path(description="Id of the class.", examples=[f"class-{EXAMPLE_UUID7}"])]
InvitationId = Annotated[
    str, Path(description="Id of the invitation.", examples=[f"invitation-{EXAMPLE_UUID7}"])
]
UserIdInPath = Annotated[str, Path(description="Id of the user.", examples=[f"user-{EXAMPLE_UUID7}"])]
