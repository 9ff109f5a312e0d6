"""What this process has counted. Tests compare it before and after."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import REGISTRY


def counted(name: str, **labels: str) -> float:
    """The value of a sample with exactly these labels; 0 if there is none."""
    return REGISTRY.get_sample_value(name, labels) or 0


@contextmanager
def counts(name: str, by: float = 1, **labels: str) -> Iterator[None]:
    """The block must count ``by`` more of this."""
    before = counted(name, **labels)
    yield
    assert counted(name, **labels) - before == by
