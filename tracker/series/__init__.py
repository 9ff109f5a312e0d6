"""Pure computation on series of samples: the ring they are stored in, candles, statistics."""
