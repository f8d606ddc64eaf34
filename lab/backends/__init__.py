"""Where labs run: `docker` (the real one) and `process` (plain processes on loopback), behind one Protocol
(`base`).
"""
