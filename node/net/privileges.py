"""Giving up what a node needs only while it starts.

Rules:

1. Order: groups, gid, uid, then capabilities, then the promise that no later exec can gain any.
2. What was given up is tried: a way back is a failure to start.
3. The bounding set is emptied as far as the kernel allows it (that needs SETPCAP, which a container does
   not have).
4. One process alone keeps one capability, NET_ADMIN, and takes only orders of a fixed form
   (`node.net.addresser`). Another one keeps what it takes to make the first ones again, and hears nobody
   (`node.daemon.supervisor`).
"""

import ctypes
import os
import pwd
import resource
import struct
from dataclasses import dataclass

# linux/prctl.h
_PR_SET_DUMPABLE, _PR_SET_KEEPCAPS, _PR_CAPBSET_READ, _PR_CAPBSET_DROP = 4, 8, 23, 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
# linux/capability.h
_CAPABILITY_VERSION_3 = 0x20080522
_SETGID, _SETUID, _NET_ADMIN = 6, 7, 12

#: The users of the image: of the node, or of its IKE process, and of its ESP process.
IMAGE_USER, IMAGE_ESP_USER = "ipsec", "ipsec-esp"
#: The largest uid and gid; 2**32 - 1 means "leave it as it is" to setresuid(2).
MAX_ID = 2**32 - 2


@dataclass(frozen=True, slots=True)
class User:
    """Whom to become; `name` only for messages."""

    uid: int
    gid: int
    name: str


def find_user(text: str, auto: str = IMAGE_USER) -> User | None:
    """The user for a setting: a name, `uid`, `uid:gid`, `auto` (that one where there is such a user) or empty
    (None).

    Raises ValueError for a name that does not exist and a number that is out of range.
    """
    if not text:
        return None
    uid, _, gid = text.partition(":")
    if uid.isdigit():
        if not all(int(number) <= MAX_ID for number in (uid, gid or uid)):
            raise ValueError(f"{text!r}: a uid or gid is at most {MAX_ID}")
        return User(int(uid), int(gid or uid), text)
    try:
        entry = pwd.getpwnam(auto if text == "auto" else text)
    except KeyError:
        if text == "auto":
            return None
        raise ValueError(f"there is no user {text!r} on this system") from None
    return User(entry.pw_uid, entry.pw_gid, entry.pw_name)


def harden() -> None:
    """No core dumps, no tracing by others of our user, no privileges from any later exec."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_DUMPABLE, 0)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def drop(user: User | None) -> int:
    """Become `user` (None: stay) and empty every capability set, for good.

    Returns how many capabilities stay in the bounding set. Raises OSError where a step fails or a way back is
    open. Call it before the first thread starts: capabilities belong to threads.
    """
    was_root = os.getuid() == 0
    # SETPCAP, which this needs, goes with the uid.
    _empty_bounding()
    if user is not None:
        become(user)
        # A change of uid sets the flag to what fs.suid_dumpable says.
        _prctl(_PR_SET_DUMPABLE, 0)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    _set_capabilities(0)
    _verify(was_root=was_root)
    return len(_bounding())


def keep_net_admin(user: User | None) -> None:
    """Become `user` (None: stay) and empty every capability set but for NET_ADMIN. Raises OSError."""
    _empty_bounding()
    _prctl(_PR_SET_KEEPCAPS, 1)
    if user is not None:
        become(user)
    _prctl(_PR_SET_KEEPCAPS, 0)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    _set_capabilities(1 << _NET_ADMIN)
    harden()
    if effective_capabilities() != 1 << _NET_ADMIN:
        raise OSError("capabilities other than NET_ADMIN are still effective")


def keep_to_fork(user: User | None, *, net_admin: bool) -> None:
    """Stay who we are, and empty every capability set but for what a new process needs to become `user` and,
    with `net_admin`, to set addresses. What is not held is not gained. Raises OSError.
    """
    _empty_bounding()
    harden()
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    wanted = (1 << _SETGID | 1 << _SETUID) * (user is not None) | (1 << _NET_ADMIN) * net_admin
    _set_capabilities(wanted & effective_capabilities())


def _set_capabilities(mask: int) -> None:
    """The effective and the permitted set; the inheritable one becomes empty."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    if _libc().capset(header, struct.pack("=6I", low, low, 0, high, high, 0)) != 0:
        raise _last_error("capset")


def become(user: User) -> None:
    """Become a user, and no one else. Raises OSError."""
    os.setgroups([])
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    if os.getresuid() != (user.uid,) * 3 or os.getresgid() != (user.gid,) * 3 or os.getgroups():
        raise OSError(f"the process did not become {user.name}")


def _empty_bounding() -> None:
    for capability in _bounding():
        if _libc().prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            # Without SETPCAP none can be dropped; no_new_privs makes the rest unreachable.
            break


def _verify(*, was_root: bool) -> None:
    if effective_capabilities():
        raise OSError("capabilities are still effective after they were dropped")
    if was_root and os.getuid() != 0:
        try:
            os.setuid(0)
        except PermissionError:
            return
        raise OSError("root could be regained after it was given up")


def effective_capabilities() -> int:
    """The effective set of this thread, as a bit mask."""
    with open("/proc/thread-self/status", "rb") as status:
        return next(int(line.split()[1], 16) for line in status if line.startswith(b"CapEff:"))


def _bounding() -> list[int]:
    found = []
    for capability in range(64):
        held = _libc().prctl(_PR_CAPBSET_READ, capability, 0, 0, 0)
        if held < 0:
            break
        if held:
            found.append(capability)
    return found


def _prctl(option: int, value: int) -> None:
    if _libc().prctl(option, value, 0, 0, 0) != 0:
        raise _last_error(f"prctl {option}")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _last_error(what: str) -> OSError:
    code = ctypes.get_errno()
    return OSError(code, f"{os.strerror(code)} ({what})")
