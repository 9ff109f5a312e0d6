"""Paths whose answers the API keeps."""

URL = "/v1/metrics/kraken:ethbtc:volume"
PATHS = (URL, "/v1/metrics", "/v1/markets/kraken:ethbtc", "/v1/movers?field=volume")
