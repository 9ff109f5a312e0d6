"""How a kept answer is sent: ETags, codings and media types."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.serving.answer import Answer, best_coding, best_type
from tests.support.cached import PATHS, URL
from tests.support.tracked import SLOTS, Tracked


def test_who_has_the_bytes_already_is_told_so_in_a_few(filled: Tracked) -> None:
    client = filled.client
    for path in PATHS:
        for coding in ("", "gzip", "zstd"):
            first = client.get(path, headers={"Accept-Encoding": coding})
            etag = first.headers["ETag"]
            assert etag.startswith('"')
            for known in (etag, f'"other", {etag}', f"W/{etag}", "*"):
                again = client.get(path, headers={"Accept-Encoding": coding, "If-None-Match": known})
                assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", etag)
                assert again.headers["Cache-Control"] == first.headers["Cache-Control"]
            assert client.get(path, headers={"Accept-Encoding": coding, "If-None-Match": '"other"'}).data == first.data


def test_codings_and_types_of_an_answer_have_etags_of_their_own(filled: Tracked) -> None:
    ways = [
        {"Accept-Encoding": coding, "Accept": type} for coding in ("", "gzip", "zstd") for type in ("*/*", "text/csv")
    ]
    etags = {filled.client.get(URL, headers=way).headers["ETag"] for way in ways}
    assert len(etags) == len(ways)


@given(st.lists(st.binary(max_size=3_000), min_size=2, max_size=2), st.sampled_from(["", "gzip", "zstd"]))
def test_etags_are_equal_exactly_if_the_bytes_are(bodies: list[bytes], coding: str) -> None:
    first, second = (Answer(body, "text/plain").coded(coding) for body in bodies)
    assert (first.etag == second.etag) == (first.body == second.body)
    assert first == Answer(bodies[0], "text/plain").coded(coding)


def test_head_has_the_fields_of_get_and_no_body(filled: Tracked) -> None:
    client, same = filled.client, {"X-Request-Id": "one"}
    for path in (URL, "/healthz"):
        for _ in range(2):
            head, get = client.head(path, headers=same), client.get(path, headers=same)
            assert (head.status_code, head.data) == (200, b"")
            assert dict(head.headers) == dict(get.headers)


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("", ""),
        ("identity", ""),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, deflate", "gzip"),
        ("*", "zstd"),
        ("zstd;q=0, *", "gzip"),
        ("gzip;q=1.0, zstd;q=0.5", "gzip"),
        ("gzip;q=0, zstd;q=0", ""),
        ("gzip;q=x", ""),
        ("\xff", ""),
    ],
)
def test_the_best_coding_that_is_accepted_is_sent(accepted: str, coding: str) -> None:
    assert best_coding(accepted) == coding


@pytest.mark.parametrize(
    ("accepted", "type"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/csv", "text/csv; charset=utf-8"),
        ("text/*", "text/csv; charset=utf-8"),
        ("application/json, text/csv", "application/json"),
        ("text/csv, application/json;q=0.5", "text/csv; charset=utf-8"),
        ("image/png", "application/json"),
        ("\x00", "application/json"),
    ],
)
def test_the_best_type_that_is_accepted_is_sent(accepted: str, type: str) -> None:
    assert best_type(accepted) == type


def test_a_series_comes_as_csv_to_who_prefers_it(tracked: Tracked) -> None:
    values = np.full(1441, np.nan)
    values[[0, 1440]] = 0.1 + 0.2, 7
    tracked.watch("kraken:ethbtc")
    tracked.put("kraken:ethbtc", values)

    answer = tracked.client.get(URL, headers={"Accept": "text/csv"})
    lines = answer.text.split("\n")

    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert (lines[0], lines[1], lines[2]) == ("slot,value", f"{SLOTS[0]},0.30000000000000004", f"{SLOTS[1]},")
    assert lines[-2:] == [f"{SLOTS[-1]},7.0", ""] and len(lines) == 1443
    assert tracked.client.get("/v1/metrics", headers={"Accept": "text/csv"}).json["total"] == 2
