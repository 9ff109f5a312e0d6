"""What tests of kept answers share."""

URL = "/v1/metrics/kraken:ethbtc:volume"
PATHS = (URL, "/v1/metrics", "/v1/markets/kraken:ethbtc", "/v1/movers?field=volume")
