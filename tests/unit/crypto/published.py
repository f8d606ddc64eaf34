"""Response files of NIST's validation system (CAVS), as the package `cryptography_vectors` has them."""

from collections.abc import Iterator

import cryptography_vectors

Record = dict[str, str]


def records(name: str) -> Iterator[Record]:
    """The records of a file: fields as they are written, and under "section" what stands in brackets before
    them. A field that stands alone above others (the modulus of RSA keys) holds until it is written again.
    """
    with cryptography_vectors.open_vector_file(name, "r") as file:
        text: str = file.read()
    sections: dict[str, str] = {}
    common: Record = {}
    for block in text.split("\n\n"):
        found: Record = {}
        for line in block.splitlines():
            if line.startswith("["):
                name, _, value = line.strip("[]").partition(" = ")
                sections |= {name: value}
                sections = {name: ""} if not value else sections
            elif not line.startswith("#") and "=" in line:
                name, _, value = line.partition("=")
                found[name.strip()] = value.strip()
        if not found:
            continue
        if set(found) <= {"n", "p", "q"}:
            common |= found
            continue
        heading = ",".join(f"{name} = {value}" if value else name for name, value in sections.items())
        yield {**common, **found, "section": heading}
