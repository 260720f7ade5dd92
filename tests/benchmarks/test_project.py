"""`make bench-project`: the item analysis against the library's runner and against plain batched SQL."""

from functools import partial

from tests.benchmarks.harness import Report, bench_database, bench_server, named, paired, scaled
from tests.benchmarks.projecting import CONTESTANTS, a_workload, our_rate, raw_rate


def test_project():
    report = Report("project")
    for fsync in (True, False):
        with bench_server(fsync=fsync) as server, bench_database(server) as conninfo:
            workload = a_workload(conninfo, scaled(30_000))
            our_rate(workload)
            rows = workload.fingerprint()
            raw_rate(workload)
            assert workload.fingerprint() == rows, "both do the same work"
            found = paired({name: partial(rate, workload) for name, rate in CONTESTANTS.items()})
            report.ratio(
                named("vs_library", fsync=fsync),
                found["ours"],
                found["library"],
                aim=">= 60" if fsync else "",
            )
            report.ratio(
                named("vs_raw", fsync=fsync), found["ours"], found["raw"], aim=">= 0.6" if fsync else ""
            )
            for name, rates in found.items():
                report.figure(named(name, fsync=fsync), rates, "events/s")
    report.write()
