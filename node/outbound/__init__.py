"""Peers that we dial: the connection manager, seeding, outbound streams, and the classification of failures.

Nothing here dials by itself: the connection handler does. Imported by it, by the adaptor and by the P2P service.
"""
