"""Creates a certificate authority for one cluster, and the certificates of its processes.

A certificate gives full control of the cluster: whoever has one can run programs on its scheduler and on all its machines.
Therefore the authority signs for this cluster only, and its key is kept apart.
"""

from __future__ import annotations

import datetime as dt
import os
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cutoutd.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

YEARS: Final = 10
ROLES: Final = ("coordinator", "scheduler", "worker")
_PRIVATE: Final = 0o600
_PUBLIC: Final = 0o644
_DAY: Final = dt.timedelta(days=1)


def make(directory: Path, roles: tuple[str, ...] = ROLES) -> list[Path]:
    """Create an authority if there is none yet, and a certificate with its key for each role that has none.

    Args:
        directory: directory for all files; created if it is missing, readable by its owner only.
        roles: names of the processes that get a certificate.

    Returns:
        The files that were created.

    Raises:
        UsageError: the directory cannot be written.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        made: list[Path] = []
        ca_file, ca_key = directory / "ca.pem", directory / "ca.key"
        if not ca_file.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            certificate = _authority(key)
            made += [_write(ca_key, _pem(key), _PRIVATE), _write(ca_file, _certificate(certificate), _PUBLIC)]
        elif not ca_key.exists():
            raise UsageError(
                "the authority's key is not here, so nothing can be signed",
                path=ca_key,
                advice="Bring it back, or make all certificates anew in an empty directory.",
            )
        authority = x509.load_pem_x509_certificate(ca_file.read_bytes())
        signing = serialization.load_pem_private_key(ca_key.read_bytes(), None)
        assert isinstance(signing, ec.EllipticCurvePrivateKey)  # noqa: S101 -- made above
        for role in roles:
            if not (directory / f"{role}.pem").exists():
                own = ec.generate_private_key(ec.SECP256R1())
                signed = _sign(role, own, authority, signing)
                made.append(_write(directory / f"{role}.key", _pem(own), _PRIVATE))
                made.append(_write(directory / f"{role}.pem", _certificate(signed), _PUBLIC))
    except OSError as error:
        raise UsageError(f"it cannot be written ({error.strerror})", path=directory) from error
    return made


def _authority(key: EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cutoutd cluster")])
    return (
        _builder(name, name, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _sign(
    role: str, key: EllipticCurvePrivateKey, authority: x509.Certificate, signing: EllipticCurvePrivateKey
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"cutoutd {role}")])
    uses = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    return (
        _builder(name, authority.subject, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False
        )
        .sign(signing, hashes.SHA256())
    )


def _builder(subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)  # clocks differ
        .not_valid_after(now + YEARS * 365 * _DAY)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _certificate(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write(path: Path, content: bytes, mode: int) -> Path:
    """Write a new file, which has its mode from the first moment on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        os.fchmod(descriptor, mode)
    return path
