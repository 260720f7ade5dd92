"""What a rate limit costs a request: counted in the process, and on a Valkey of this machine."""

from tests.benchmarks.harness import Report
from tests.benchmarks.limiting import measure_limiters


def test_rate_limits() -> None:
    report = Report("rate-limits")
    measure_limiters(report)
    report.write()
