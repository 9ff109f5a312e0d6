"""How the API answers: access, rate limits, the cache, and errors."""
