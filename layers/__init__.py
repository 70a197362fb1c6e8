"""What wraps a connector."""
