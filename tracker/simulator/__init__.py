"""A simulated exchange that speaks the Cryptowatch REST API, over generated or replayed one-minute candles.

``feeds``: candles. ``trades`` and ``book``: what happens inside a minute. ``views``: a market at an instant.
``catalogue``: names and ids. ``paging`` and ``allowance``: cursors and credits. ``server``: HTTP. ``serve``: the
process.
"""
