"""What of this process's environment the processes that it starts are given: what is named here, and nothing else.

Whatever stands in an environment may be a secret of somebody's, and some variables make a library load code, write its
keys down or ask elsewhere. The hosted service's key is taken out before anything else happens. It must not read settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

KEY_VARIABLE: Final = "CUTOUTD_API_KEY"
"""The hosted service's key, for who has no file for it: no setting, and for the uploader alone."""

_OURS: Final = "CUTOUTD_"

_PROGRAM: Final = frozenset(
    {
        "PATH",
        "LANG",
        "LANGUAGE",
        "TZ",
        "TMPDIR",
        # Where Python and its libraries are found, in places that are not the system's.
        "LD_LIBRARY_PATH",
        "DYLD_LIBRARY_PATH",
        "DYLD_FALLBACK_LIBRARY_PATH",
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONUTF8",
        "PYTHONCOERCECLOCALE",
        "PYTHONIOENCODING",
        "PYTHONWARNINGS",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONPYCACHEPREFIX",
        # Which graphics processors there are to be used.
        "CUDA_VISIBLE_DEVICES",
        "CUDA_PATH",
        "NVIDIA_VISIBLE_DEVICES",
        "ROCR_VISIBLE_DEVICES",
        "HIP_VISIBLE_DEVICES",
    }
)
"""What a program of ours takes to run."""

_USER: Final = frozenset({"HOME", "USER", "LOGNAME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"})
"""Whose it is, and so where its configuration and state are."""

_SESSION: Final = frozenset(
    {
        "SHELL",
        "DISPLAY",
        "WAYLAND_DISPLAY",
        "XAUTHORITY",
        "XDG_RUNTIME_DIR",
        "XDG_CACHE_HOME",
        "XDG_CURRENT_DESKTOP",
        "XDG_SESSION_TYPE",
        "DBUS_SESSION_BUS_ADDRESS",
    }
)
"""What a command of the owner's takes to show something on their desktop."""

_LOCALE: Final = "LC_"


def for_worker(environ: Mapping[str, str]) -> dict[str, str]:
    """For a process that reads pictures: settings are read once, by the supervisor.

    ``HOME`` is where Python looks for packages that were installed for one user. Without it Python asks the system's user
    database, and glibc opens a socket for that.
    """
    return _only(environ, _PROGRAM | {"HOME"})


def for_uploader(environ: Mapping[str, str]) -> dict[str, str]:
    """For the uploader, the page, and what keeps them running: they find and read the configuration for themselves."""
    ours = {name: value for name, value in environ.items() if name.startswith(_OURS) and name != KEY_VARIABLE}
    return _only(environ, _PROGRAM | _USER) | ours


def for_hook(environ: Mapping[str, str]) -> dict[str, str]:
    """For a command of the owner's."""
    return _only(environ, _PROGRAM | _USER | _SESSION)


def keep_for_uploader(environ: MutableMapping[str, str]) -> None:
    """Drop from this process's own environment what the uploader, or the page, has no use for.

    Before the libraries are loaded that would look: OpenSSL, which loads code that OPENSSL_CONF names; Python's ssl, which
    writes the keys of its connections to SSLKEYLOGFILE; the resolver, which takes other names from HOSTALIASES.
    """
    kept = for_uploader(environ)
    for name in [name for name in environ if name not in kept]:
        del environ[name]


def take_key(environ: MutableMapping[str, str]) -> str:
    """Take the hosted service's key out of this process's environment; empty if it is not there.

    Also where the system shows the environment that a process was started with (/proc/PID/environ), which removing a
    variable leaves as it was.
    """
    key = environ.get(KEY_VARIABLE, "")
    if not key:
        return environ.pop(KEY_VARIABLE, "")
    import ctypes  # noqa: PLC0415 -- for this one case

    getenv = ctypes.CDLL(None).getenv
    getenv.argtypes, getenv.restype = [ctypes.c_char_p], ctypes.c_void_p
    address = getenv(KEY_VARIABLE.encode("ascii"))
    if address:
        ctypes.memset(address, 0, len(ctypes.string_at(address)))
    del environ[KEY_VARIABLE]
    return key


def _only(environ: Mapping[str, str], names: frozenset[str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name in names or name.startswith(_LOCALE)}
