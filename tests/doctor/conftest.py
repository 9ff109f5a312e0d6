"""The clock as it was before a check corrected it."""

from collections.abc import Iterator

import pytest

from tracker import clock


@pytest.fixture(autouse=True)
def uncorrected() -> Iterator[None]:
    yield
    clock.set_ahead(0.0)
