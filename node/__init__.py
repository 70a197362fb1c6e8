"""A Kaspa P2P node whose every outbound connection is made in `ziggurat.node.connection_handler`."""
