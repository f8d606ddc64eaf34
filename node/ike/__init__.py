"""The sans-IO engine of IKEv2 (layer 3): no sockets, no clock, no randomness of its own, blind to the wire profile."""
