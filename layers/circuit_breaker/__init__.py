"""Stop dialling what has failed several times in a row."""

from ziggurat.layers.circuit_breaker.breaker import Breaker
from ziggurat.layers.circuit_breaker.fault import by_hop
from ziggurat.layers.circuit_breaker.layer import CircuitBreakerLayer

__all__ = ["Breaker", "CircuitBreakerLayer", "by_hop"]
