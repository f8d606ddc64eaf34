"""`python tools/audit.py LOCK...`: known vulnerabilities of locked packages, by pip-audit.

Exit codes: 0 none known, or the database cannot be reached (one line says so); 1 some are; 4 pip-audit failed.
"""

import subprocess
import sys

# What pip-audit says when it got no answer, as opposed to an answer it did not like.
UNREACHABLE = (
    "ConnectionError",
    "Could not connect",
    "timed out",
    "Max retries",
    "ServiceError",
    "HTTPError",
)
TIMEOUT = 120.0


def audit(lock: str) -> int:
    """Ask about every package of one lock file; nothing is installed or resolved."""
    command = [sys.executable, "-m", "pip_audit", "--progress-spinner", "off", "--disable-pip"]
    command += ["--require-hashes", "--requirement", lock]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        print(f"pip-audit: {lock}: not checked, the database did not answer within {TIMEOUT:.0f} s")
        return 0
    if done.returncode == 0:
        print(f"pip-audit: {lock}: no known vulnerabilities")
        return 0
    if "Found " in done.stderr and "known vulnerabilit" in done.stderr:
        print(f"pip-audit: {lock}:\n{done.stdout}{done.stderr}")
        return 1
    if any(word in done.stderr for word in UNREACHABLE):
        print(f"pip-audit: {lock}: not checked, the database cannot be reached")
        return 0
    print(f"pip-audit: {lock}: failed\n{done.stderr[-2000:]}", file=sys.stderr)
    return 4


if __name__ == "__main__":
    if len(sys.argv) < 2:
        print("audit: name the lock files: python tools/audit.py requirements/dev.txt", file=sys.stderr)
        raise SystemExit(2)
    raise SystemExit(max(audit(lock) for lock in sys.argv[1:]))
