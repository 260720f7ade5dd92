from prometheus_client import generate_latest

from infra.observability.metrics import EventStoreMetrics, ProjectionMetrics, new_registry


def test_the_metrics_of_the_event_store_are_exposed_under_our_prefix() -> None:
    registry = new_registry()
    metrics = EventStoreMetrics.create(registry)

    metrics.append_duration_s.observe(0.004)
    metrics.appended.labels("attempt").inc(3)
    metrics.conflicts.labels("attempt").inc()
    metrics.under_way.set(7)

    text = generate_latest(registry).decode()
    assert 'megacity_append_duration_seconds_bucket{le="0.005"} 1.0' in text
    assert 'megacity_append_duration_seconds_bucket{le="0.0025"} 0.0' in text
    assert 'megacity_events_appended_total{category="attempt"} 3.0' in text
    assert 'megacity_append_conflicts_total{category="attempt"} 1.0' in text
    assert "megacity_event_log_calls_under_way 7.0" in text


def test_a_projection_shows_its_position_and_its_lag() -> None:
    registry = new_registry()
    metrics = ProjectionMetrics.create(registry)

    metrics.record_progress("exam_results", position=90, head=100)

    assert registry.get_sample_value("megacity_projection_position", {"projection": "exam_results"}) == 90
    assert registry.get_sample_value("megacity_projection_lag_events", {"projection": "exam_results"}) == 10


def test_a_projection_ahead_of_an_old_head_has_no_lag() -> None:
    registry = new_registry()
    metrics = ProjectionMetrics.create(registry)

    metrics.record_progress("exam_results", position=101, head=100)

    assert registry.get_sample_value("megacity_projection_lag_events", {"projection": "exam_results"}) == 0


def test_two_registries_do_not_share_figures() -> None:
    first, second = new_registry(), new_registry()
    EventStoreMetrics.create(first).appended.labels("attempt").inc()
    EventStoreMetrics.create(second)

    name, labels = "megacity_events_appended_total", {"category": "attempt"}
    assert (first.get_sample_value(name, labels), second.get_sample_value(name, labels)) == (1, None)


def test_a_registry_tells_about_the_process() -> None:
    assert b"megacity_process_cpu_seconds_total" in generate_latest(new_registry())
