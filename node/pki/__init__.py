"""Certificates: is this chain acceptable now (RFC 5280 section 6.1), and does it speak for this ID (RFC
4945)."""
