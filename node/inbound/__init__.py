"""Peers that dial us: the listener, the server, their streams, and the limits on how many there may be.

Imported by the adaptor and by what configures it.
"""
