"""Shadow tests: constrained adaptive testing by integer programming (HiGHS)."""

from domain.cat.shadow.assembler import ShadowAssembler, ShadowStep, ShadowTest
from domain.cat.shadow.contradiction import GIVEN

__all__ = ["GIVEN", "ShadowAssembler", "ShadowStep", "ShadowTest"]
