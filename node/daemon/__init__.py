"""The running node: the composition root that joins engine, data path, sockets and control (layer 4)."""
