"""The store's clock replaces this machine's clock if they differ by more than is tolerated."""

from collections.abc import Iterator

import pytest

from tests.support.servers import StoreServer, free_port
from tracker import clock
from tracker.settings import load
from tracker.store import skew


@pytest.fixture(autouse=True)
def uncorrected(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(skew, "_due", 0.0)
    yield
    clock.set_ahead(0.0)


@pytest.mark.parametrize("ahead", [120.0, -120.0, 2.1, -2.1])
def test_a_clock_that_is_wrong_is_corrected(ahead: float) -> None:
    assert skew.correction(ahead) == ahead


@pytest.mark.parametrize("ahead", [0.0, 1.9, -1.9])
def test_a_small_difference_is_left_alone(ahead: float) -> None:
    assert skew.correction(ahead) == 0


def test_what_was_found_counts_while_the_store_is_away_and_until_the_clock_is_right(
    store_server: StoreServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.set_ahead(120.0)
    skew.keep(load({"REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}))
    assert clock.ahead() == 120
    monkeypatch.setattr(skew, "_due", 0.0)
    skew.keep(load({"REDIS_URL": store_server.url}))
    assert clock.ahead() == 0
    assert [record.getMessage() for record in caplog.records] == ["this machine's clock agrees with the store's again"]
