"""A simulated exchange that speaks the Cryptowatch REST API, over generated or replayed one-minute candles.

``feeds`` gives candles, ``trades`` and ``book`` derive what happens inside a minute, ``views`` says how a market stands
at an instant, ``catalogue`` names things, ``server`` speaks HTTP, ``serve`` runs it as a process.
"""
