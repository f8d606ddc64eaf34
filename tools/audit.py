"""`python tools/audit.py LOCK...`: known vulnerabilities of locked packages, by pip-audit.

pip-audit also says "no known vulnerabilities" of a package that its database never answered about:
the verdict here is counted from its JSON report, package by package.

Exit codes: 0 none known, or the database cannot be reached (one line says so); 1 some are known; 2 usage;
4 pip-audit failed.
"""

import json
import subprocess
import sys

# What pip-audit says when it got no answer, as opposed to an answer it did not like.
UNREACHABLE = ("ConnectionError", "Could not connect", "timed out", "Max retries")
TIMEOUT = 180.0


def verdict(lock: str, report: str, complaint: str) -> tuple[int, str]:
    """Exit code and text from pip-audit's JSON `report` and, where there is none, its `complaint`."""
    try:
        packages = json.loads(report)["dependencies"]
    except (ValueError, KeyError, TypeError):
        if any(word in complaint for word in UNREACHABLE):
            return 0, f"{lock}: NOT checked, the database cannot be reached"
        return 4, f"{lock}: pip-audit failed: {' '.join(complaint.split())[-500:]}"
    bad = [package for package in packages if package.get("vulns")]
    if bad:
        lines = [
            f"  {package['name']} {package['version']}: {flaw['id']}, fix: {', '.join(flaw['fix_versions'])}"
            for package in bad
            for flaw in package["vulns"]
        ]
        return 1, f"{lock}: {len(bad)} packages with known vulnerabilities\n" + "\n".join(lines)
    unanswered = [package["name"] for package in packages if "skip_reason" in package]
    if unanswered and len(unanswered) == len(packages):
        return 0, f"{lock}: NOT checked, the database has an answer about none of {len(packages)} packages"
    if unanswered:
        return 0, f"{lock}: no known vulnerabilities, but no answer about {', '.join(unanswered)}"
    return 0, f"{lock}: {len(packages)} packages without known vulnerabilities"


def audit(lock: str) -> int:
    """Ask about every package of one lock file; nothing is installed or resolved."""
    command = [sys.executable, "-m", "pip_audit", "--progress-spinner", "off", "--disable-pip"]
    command += ["--require-hashes", "--format", "json", "--requirement", lock]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        code, text = verdict(lock, "", "timed out")
    else:
        code, text = verdict(lock, done.stdout, done.stderr)
    print(f"pip-audit: {text}", flush=True)
    return code


if __name__ == "__main__":
    if len(sys.argv) < 2:
        print("audit: name the lock files: python tools/audit.py requirements/dev.txt", file=sys.stderr)
        raise SystemExit(2)
    raise SystemExit(max([audit(lock) for lock in sys.argv[1:]]))
