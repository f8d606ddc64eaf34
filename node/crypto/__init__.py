"""Cryptography by transform number, on pyca/cryptography (layer 1): the only importer of its primitives."""
