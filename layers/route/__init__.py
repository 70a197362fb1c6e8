"""Choose the way of each dial by its target: rules from code or a file, and what they decide."""

from ziggurat.layers.route.decision import Decider, Decision
from ziggurat.layers.route.file import parse_routes, read_routes
from ziggurat.layers.route.layer import RouteLayer
from ziggurat.layers.route.rule import Rule

__all__ = ["Decider", "Decision", "RouteLayer", "Rule", "parse_routes", "read_routes"]
