"""The environment of child processes: the variables that are listed here, and no others.

A variable may hold a secret, and some make a library load code, write its keys to a file or query other servers. The key of
the hosted service is removed before anything else happens. It must not read settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

KEY_VARIABLE: Final = "CUTOUTD_API_KEY"
"""Key of the hosted service, if it is not in a file: no setting, and for the uploader alone."""

_OURS: Final = "CUTOUTD_"

_PROGRAM: Final = frozenset(
    {
        "PATH",
        "LANG",
        "LANGUAGE",
        "TZ",
        "TMPDIR",
        # Where Python and its libraries are, if not in the places of the system.
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
        # Which graphics processors to use.
        "CUDA_VISIBLE_DEVICES",
        "CUDA_PATH",
        "NVIDIA_VISIBLE_DEVICES",
        "ROCR_VISIBLE_DEVICES",
        "HIP_VISIBLE_DEVICES",
    }
)
"""Variables that a program of ours needs to run."""

_USER: Final = frozenset({"HOME", "USER", "LOGNAME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"})
"""Variables that name the user, and so the places of configuration and state."""

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
"""Variables that a command of the owner needs to show something on the desktop."""

_LOCALE: Final = "LC_"


def for_worker(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process that reads pictures. Settings are read once, by the supervisor.

    ``HOME`` is where Python looks for packages of the user. Without it Python queries the user database of the system, for
    which glibc opens a socket.
    """
    return _only(environ, _PROGRAM | {"HOME"})


def for_uploader(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the uploader, the page and their companions, which read the configuration themselves."""
    ours = {name: value for name, value in environ.items() if name.startswith(_OURS) and name != KEY_VARIABLE}
    return _only(environ, _PROGRAM | _USER) | ours


def for_hook(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a command of the owner."""
    return _only(environ, _PROGRAM | _USER | _SESSION)


def keep_for_uploader(environ: MutableMapping[str, str]) -> None:
    """Remove from the environment of this process what the uploader, or the page, does not need.

    Must happen before libraries are loaded that read it: OpenSSL loads code that OPENSSL_CONF names, Python's ssl writes the
    keys of its connections to SSLKEYLOGFILE, and the resolver takes other names from HOSTALIASES.
    """
    kept = for_uploader(environ)
    for name in [name for name in environ if name not in kept]:
        del environ[name]


def take_key(environ: MutableMapping[str, str]) -> str:
    """Take the key of the hosted service out of the environment of this process; empty if there is none.

    It is also erased where the system shows the initial environment (/proc/PID/environ), which removing a variable leaves
    unchanged.
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
