"""The vocabulary of IKEv2 as plain values: no codec, no cryptography, no I/O (layer 0)."""
