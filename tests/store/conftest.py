import pytest
import structlog


@pytest.fixture(autouse=True, scope="session")
def _plain_log() -> None:
    """Tracebacks of meant faults as text: drawing them takes longer than the tests."""
    renderer = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.processors.add_log_level, renderer])
