"""The simulated exchange's candles: generated from a seed, or replayed from files."""

import gzip
import re
import zlib
from collections.abc import Sequence
from functools import lru_cache, partial
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from tracker.clock import utc
from tracker.simulator.catalogue import ASSETS, FIAT, STABLE, Listing, invent, split_pair

MINUTE = 60
COLUMNS = ("open_time", "open", "high", "low", "close", "volume")
#: Numbers in a candle file must stay below this, so that sums and products stay finite.
LARGEST = 1e18
NO_CANDLES = np.empty((0, len(COLUMNS)))

#: Candles are generated in blocks: short ones make one candle cheap, long ones make a day cheap.
BLOCK_MINUTES = 240
BLOCK = BLOCK_MINUTES * MINUTE
BLOCKS_A_DAY = 6
#: Standard deviation of a log price from minute to minute: 0.06 % is 2.3 % a day.
MINUTE_SIGMA = 0.0006
BLOCK_SIGMA = MINUTE_SIGMA * BLOCK_MINUTES**0.5
DAY_SIGMA = BLOCK_SIGMA * BLOCKS_A_DAY**0.5

CANDLE_FILE = re.compile(r"(?:(?P<exchange>[a-z0-9][a-z0-9._-]*)-)?(?P<pair>[a-z0-9][a-z0-9._]+)\.csv\.gz")


class Feed(Protocol):
    """One-minute candles of markets, each as it is after its minute has ended."""

    markets: Sequence[Listing]

    def candles(self, exchange: str, pair: str, first: int, last: int) -> np.ndarray:
        """Candles that open in [first, last], Unix seconds: float64 (n, 6), the columns of COLUMNS, oldest first.

        Opening times are multiples of 60. A minute without a trade is missing. Prices are in quote units, volume in
        base units. Every call gives the same candle for a minute. Raises KeyError for an unknown market.
        """
        ...


class Traits(NamedTuple):
    """The constant properties of a generated market.

    price: usual price, quote units; decimals: decimal places of prices; turnover: usual volume of a minute, base units;
    activity: share of minutes that have a trade.
    """

    listing: Listing
    price: float
    decimals: int
    turnover: float
    activity: float


class Generated:
    """Any number of markets. Candles are a pure function of (seed, market, minute), for any time since 1970.

    An asset's log price, relative to its usual price, is a Brownian bridge between the levels of two days. A hash gives
    the level of a day, so no walk from the beginning of time is needed. Half of the variance is common to all coins. A
    pair's price is the quotient of its two assets' prices, times a small premium of the exchange. Volume is lognormal
    with rare Pareto spikes. Every fifth market is thin: it has minutes without a trade.
    """

    def __init__(self, seed: int = 1, markets: int = 60, exchanges: int = 3) -> None:
        if markets < 1 or exchanges < 1:
            raise ValueError(f"expected at least one market and one exchange, got {markets} and {exchanges}")
        self.seed = seed
        self.markets: Sequence[Listing] = list(islice(invent(exchanges), markets))
        self._listings = {(listing.exchange, listing.pair): listing for listing in self.markets}
        self._traits = lru_cache(None)(self._draw_traits)
        # At most 140 MB of candles and 16 MB of paths. 10,000 markets can all keep their current block.
        self._block = lru_cache(12_288)(self._generate)
        self._asset_path = lru_cache(8_192)(self._combined_path)
        self._common_path = lru_cache(64)(partial(self._path, "common"))
        self._premium = lru_cache(256)(lambda exchange, block: 0.02 * self._path(exchange, block))
        self._knots = lru_cache(16_384)(self._day_knots)

    def candles(self, exchange: str, pair: str, first: int, last: int) -> np.ndarray:
        """See Feed."""
        numbers = range(max(first, 0) // BLOCK, last // BLOCK + 1)
        blocks = [self._block(exchange, pair, number) for number in numbers] or [NO_CANDLES]
        return _between(blocks[0] if len(blocks) == 1 else np.concatenate(blocks), first, last)

    def _generate(self, exchange: str, pair: str, block: int) -> np.ndarray:
        """The candles that open in a block, as a read-only array."""
        listing, usual, decimals, turnover, activity = self._traits(exchange, pair)
        path = self._asset_path(listing.base, block) - self._asset_path(listing.quote, block)
        prices = (usual * np.exp(path + self._premium(exchange, block))).round(decimals)
        opens, closes = prices[:-1], prices[1:]
        random = self._random("candles", listing.name, block)
        wicks = random.exponential(MINUTE_SIGMA / 3, (2, BLOCK_MINUTES))
        highs = (np.maximum(opens, closes) * (1 + wicks[0])).round(decimals)
        lows = (np.minimum(opens, closes) * (1 - wicks[1])).round(decimals)
        volumes = (turnover * _bursts(random)).round(8)
        times = block * BLOCK + MINUTE * np.arange(BLOCK_MINUTES)
        candles = np.column_stack([times, opens, highs, lows, closes, volumes])
        candles = candles[random.random(BLOCK_MINUTES) < activity]
        candles.flags.writeable = False
        return candles

    def _draw_traits(self, exchange: str, pair: str) -> Traits:
        listing = self._listings[exchange, pair]
        price = self._dollars(listing.base) / self._dollars(listing.quote)
        random = self._random("traits", listing.name)
        dollars = 10 ** random.uniform(2.5, 5.5)
        activity = random.uniform(0.2, 0.9) if dollars < 1_300 else 1.0
        decimals = max(0, 5 - int(np.floor(np.log10(price))))
        return Traits(listing, price, decimals, dollars / self._dollars(listing.base), activity)

    def _dollars(self, asset: str) -> float:
        """Usual price of an asset in US dollars."""
        return ASSETS[asset][1] if asset in ASSETS else 10 ** self._random("price", asset).uniform(-3, 2)

    def _combined_path(self, asset: str, block: int) -> np.ndarray:
        """An asset's path against the US dollar: half common, half its own for a coin; almost flat for money."""
        if asset == "usd":
            return np.zeros(BLOCK_MINUTES + 1)
        if asset in FIAT | STABLE:
            return 0.1 * self._path(asset, block)
        path: np.ndarray = (self._common_path(block) + self._path(asset, block)) * 0.5**0.5
        return path

    def _path(self, name: str, block: int) -> np.ndarray:
        """Log price relative to the usual price, at the edges of a block's minutes: (241,)."""
        day, number = divmod(block, BLOCKS_A_DAY)
        start, end = self._knots(name, day)[number : number + 2]
        return _bridge(self._random("block", name, block), start, end, BLOCK_MINUTES, MINUTE_SIGMA)

    def _day_knots(self, name: str, day: int) -> np.ndarray:
        """A day's path at the edges of its blocks: (7,)."""
        start, end = (self._random("level", name, edge).normal(0, DAY_SIGMA / 2**0.5) for edge in (day, day + 1))
        return _bridge(self._random("day", name, day), start, end, BLOCKS_A_DAY, BLOCK_SIGMA)

    def _random(self, *key: object) -> np.random.Generator:
        """A random generator seeded by the feed's seed and ``key``."""
        digest = blake2b(repr((self.seed, *key)).encode(), digest_size=16).digest()
        return np.random.default_rng(int.from_bytes(digest))


class Replay:
    """Candles from files. All are moved in time by the same whole number of minutes.

    ``directory`` holds ``EXCHANGE-PAIR.csv.gz`` or ``PAIR.csv.gz`` (exchange ``replay``) with a header and the columns
    of COLUMNS. The candle that opens at ``at`` (Unix seconds in the files, by default the last) opens at the minute of
    ``start``. No market trades after the last candle. Raises ValueError for no files, a malformed file or a bad ``at``.
    """

    def __init__(self, directory: Path | str, start: float, at: float | None = None) -> None:
        files = dict(_read(path) for path in sorted(Path(directory).glob("*.csv.gz")))
        if not files:
            raise ValueError(f"{directory}: no candle files (EXCHANGE-PAIR.csv.gz or PAIR.csv.gz)")
        first = min(rows[0, 0] for rows in files.values())
        last = max(rows[-1, 0] for rows in files.values())
        origin = last if at is None else at // MINUTE * MINUTE
        if not first <= origin <= last:
            raise ValueError(
                f"{at:.0f} is outside of the candles, {first:.0f} ({utc(first)}) to {last:.0f} ({utc(last)})"
            )
        #: Seconds to add to a time in the files to get the time in the replay.
        self.shift = int(start // MINUTE * MINUTE - origin)
        #: When the last candle closes, Unix seconds in the replay.
        self.end = int(last + MINUTE + self.shift)
        self.markets: Sequence[Listing] = list(files)
        self._rows = {(listing.exchange, listing.pair): _moved(rows, self.shift) for listing, rows in files.items()}

    def candles(self, exchange: str, pair: str, first: int, last: int) -> np.ndarray:
        """See Feed."""
        return _between(self._rows[exchange, pair], first, last)


def _bursts(random: np.random.Generator) -> np.ndarray:
    """Volumes of a block's minutes relative to the usual volume: (240,). One in 500 is a spike."""
    spikes = np.where(random.random(BLOCK_MINUTES) < 0.002, 4 + 4 * random.pareto(1.5, BLOCK_MINUTES), 1)
    return np.exp(0.5 * random.standard_normal(BLOCK_MINUTES)) * np.minimum(spikes, 200)


def _bridge(random: np.random.Generator, start: float, end: float, steps: int, sigma: float) -> np.ndarray:
    """A Brownian bridge from ``start`` to ``end`` with ``sigma`` a step: (steps + 1,)."""
    walk = np.concatenate([[0.0], random.normal(0, sigma, steps).cumsum()])
    bridge: np.ndarray = start + walk + (end - start - walk[-1]) * np.arange(steps + 1) / steps
    return bridge


def _between(rows: np.ndarray, first: int, last: int) -> np.ndarray:
    start, stop = rows[:, 0].searchsorted([first, last + 1])
    return rows[start:stop]


def _moved(rows: np.ndarray, shift: int) -> np.ndarray:
    """A read-only copy, ``shift`` seconds later. Columns are contiguous, because look-ups search the first one."""
    moved = np.asfortranarray(rows)
    moved[:, 0] += shift
    moved.flags.writeable = False
    return moved


def _read(path: Path) -> tuple[Listing, np.ndarray]:
    """A candle file's market and its rows as in COLUMNS. Raises ValueError with the file and the line."""
    name = CANDLE_FILE.fullmatch(path.name.lower())
    if not name:
        raise ValueError(f"{path}: expected a name like EXCHANGE-PAIR.csv.gz or PAIR.csv.gz")
    try:
        header, *lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise ValueError(f"{path}: line 1: not gzipped text: {error}") from error
    if header != ",".join(COLUMNS):
        raise ValueError(f"{path}: line 1: expected {','.join(COLUMNS)}")
    rows = _parse(path, lines)
    bad = np.flatnonzero(~_plausible(rows))
    if len(bad) or not len(rows):
        raise ValueError(f"{path}: line {bad[0] + 2 if len(bad) else 2}: not a candle, or out of order")
    pair = name["pair"]
    return Listing(name["exchange"] or "replay", pair, *split_pair(pair)), rows


def _parse(path: Path, lines: list[str]) -> np.ndarray:
    try:
        rows = np.loadtxt(lines, delimiter=",", comments=None, ndmin=2) if lines else NO_CANDLES
        if rows.shape == (len(lines), len(COLUMNS)):
            return rows
    except ValueError:
        pass  # numpy's row number does not count all lines: find the line below
    bad = next((number for number, line in enumerate(lines) if not _is_row(line)), 0)
    raise ValueError(f"{path}: line {bad + 2}: expected {len(COLUMNS)} numbers")


def _is_row(line: str) -> bool:
    try:
        return len([float(cell) for cell in line.split(",")]) == len(COLUMNS)
    except ValueError:
        return False


def _plausible(rows: np.ndarray) -> np.ndarray:
    """Whether each row is a valid candle and later than the row before: bool (n,)."""
    times, opens, highs, lows, closes, volumes = rows.T
    ordered = (times % MINUTE == 0) & (np.diff(times, prepend=-1) > 0)
    prices = (lows > 0) & (lows <= np.minimum(opens, closes)) & (np.maximum(opens, closes) <= highs)
    usable: np.ndarray = (np.abs(rows) < LARGEST).all(axis=1) & ordered & prices & (volumes >= 0)
    return usable
