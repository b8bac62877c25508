"""The ways out: one module for each provider, behind the protocol of `protocol.py`."""
