"""`cutoutd worker` and `cutoutd cluster`: a machine's part in a cluster, its gateway, its certificates, how it is."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cutoutd import logs
from cutoutd.cli.egress import require_cluster
from cutoutd.cli.instance import ConfigOption, find_settings, named_path, settings
from cutoutd.cli.printing import printable
from cutoutd.cli.queue import JsonOption
from cutoutd.clock import Clock
from cutoutd.errors import UsageError
from cutoutd.exchange import messages
from cutoutd.exchange.cluster_spool import ClusterPaths
from cutoutd.process.child_environment import keep_for_uploader
from cutoutd.sandbox import capabilities, limits
from cutoutd.settings import loader
from cutoutd.settings.cluster import scheduler_address

if TYPE_CHECKING:
    from cutoutd.settings.schema import Settings


def build() -> typer.Typer:
    """The sub-commands of `cutoutd cluster`."""
    app = typer.Typer(
        help="Your own machines that cut pictures: create certificates for them, show their state. "
        'This needs what `pip install "cutoutd[cluster]"` installs; the Debian package, the container image and the one-file bundle do not have it.',
        no_args_is_help=True,
    )
    app.command("certs")(certs)
    app.command("status")(status)
    app.command("scheduler")(scheduler)
    app.command("gateway")(gateway)
    return app


SchedulerOption = Annotated[
    str, typer.Option("--scheduler", help="Address of the scheduler, such as tls://10.0.0.2:8786.")
]
CaOption = Annotated[
    Path,
    typer.Option("--tls-ca-file", parser=named_path, help="Certificate of the cluster's authority (CA)."),
]
CertOption = Annotated[
    Path, typer.Option("--tls-cert", parser=named_path, help="This machine's certificate.")
]
KeyOption = Annotated[Path, typer.Option("--tls-key", parser=named_path, help="Its key.")]


def worker(
    *,
    scheduler: SchedulerOption,
    tls_ca_file: CaOption,
    tls_cert: CertOption,
    tls_key: KeyOption,
    port: Annotated[
        int, typer.Option(min=1, max=65_535, help="Port at which other machines reach this one.")
    ] = 8790,
    host: Annotated[
        str,
        typer.Option(
            help="Address at which other machines reach this one; by default that of the interface to the scheduler."
        ),
    ] = "",
    slots: Annotated[
        int, typer.Option(min=0, max=256, help="Pictures at the same time; 0 lets the machine decide.")
    ] = 0,
    config: ConfigOption = None,
) -> None:
    """Cut pictures for a cluster on this machine, until stopped. [pool] and [model] of a configuration count, if there is one.

    This needs what `pip install "cutoutd[cluster]"` installs; the Debian package, the container image and the one-file
    bundle do not have it.
    """
    require_cluster()
    _drop_privileges()
    found = loader.find(config, os.environ)
    chosen = loader.load(found, os.environ) if found is not None else loader.defaults(os.environ)
    try:
        address = scheduler_address(scheduler)
    except ValueError as error:
        raise UsageError(f"--scheduler {error}", advice="Give tls://HOST:PORT.") from error
    from cutoutd.cluster import tls  # noqa: PLC0415 -- for this command alone
    from cutoutd.cluster.worker_confinement import confine  # noqa: PLC0415 -- likewise

    certificates = tls.Certificates(tls_ca_file, tls_cert, tls_key)
    tls.check_files(certificates)
    layers = confine(chosen, scheduler=address, files=certificates, port=port)
    # Only now: both start a thread, which some kernels would not confine.
    logs.configure(level=chosen.service.log_level, log_format=chosen.service.log_format)
    from cutoutd.cluster.worker import WorkerOptions, run  # noqa: PLC0415 -- it brings Dask

    run(
        chosen,
        WorkerOptions(
            scheduler=address,
            certificates=certificates,
            port=port,
            host=host,
            slots=slots,
            layers=layers,
        ),
    )


def _drop_privileges() -> None:
    """Give up what a process that listens has no use for: before it loads Dask, which starts a thread."""
    keep_for_uploader(os.environ)
    limits.hide_memory()
    capabilities.drop()


def gateway(
    *,
    config: ConfigOption = None,
    parent: Annotated[int | None, typer.Option(hidden=True)] = None,
    console: Annotated[bool, typer.Option("--console", hidden=True)] = False,
) -> None:
    """Run the gateway, which sends the pictures of tagged folders. `cutoutd run` starts it by itself if it is needed."""
    chosen = settings(config, None, None)
    require_cluster(chosen)
    keep_for_uploader(os.environ)
    from cutoutd.cluster.run import run  # noqa: PLC0415 -- what it loads is for this command alone

    # What the supervisor says of a newer configuration after this moment was not read below.
    announced = messages.announcement(ClusterPaths.under(chosen.service.state_dir).announced)
    chosen = settings(config, None, None)
    run(chosen, announced=announced, clock=Clock(), parent=parent, console=console)


def scheduler(
    *,
    tls_ca_file: CaOption,
    tls_cert: CertOption,
    tls_key: KeyOption,
    host: Annotated[str, typer.Option(help="Address to listen on; without it, all of this machine.")] = "",
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port to listen on.")] = 8786,
) -> None:
    """Run a Dask scheduler that speaks TLS alone and serves no page, until stopped."""
    require_cluster()
    _drop_privileges()
    from cutoutd.cluster import tls  # noqa: PLC0415 -- for this command alone

    certificates = tls.Certificates(tls_ca_file, tls_cert, tls_key)
    tls.check_files(certificates)
    from cutoutd.cluster.scheduler import run  # noqa: PLC0415 -- it brings Dask

    at = f"{host or 'all addresses'}, port {port}"
    try:
        run(
            host=host,
            port=port,
            certificates=certificates,
            ready=lambda: print(f"The scheduler listens on {at}, with TLS.", flush=True),
        )
    except OSError as error:
        raise UsageError(
            f"the scheduler cannot listen on {at}: {error.strerror or error}",
            advice="Choose another with --host or --port.",
        ) from error


def certs(
    directory: Annotated[Path, typer.Argument(parser=named_path, help="Directory for the certificates.")],
    *,
    add: Annotated[
        list[str] | None,
        typer.Option("--add", help="A further certificate of this name, such as a machine's."),
    ] = None,
) -> None:
    """Make an authority for one cluster alone, and certificates for coordinator, scheduler and workers."""
    require_cluster()
    from cutoutd.cluster import certificates  # noqa: PLC0415 -- it loads what makes keys

    names = add or []
    for name in names:
        if not (name.isascii() and name.replace("-", "").isalnum()):
            raise UsageError(
                f"{name!r} is not a name for a certificate", advice="Use letters, digits and hyphens."
            )
    made = certificates.make(directory, (*certificates.ROLES, *names))
    for path in made:
        print(printable(os.fspath(path)))
    if not made:
        print("All of them are there already.")
        return
    print(
        "\nWhoever has one of these keys can run programs on every machine of the cluster. Copy ca.pem and one pair to each\n"
        "machine; keep ca.key where no machine of the cluster can read it. `cutoutd docs cluster` says what to do next.",
        file=sys.stderr,
    )


def status(
    *,
    as_json: JsonOption = False,
    trial: Annotated[
        bool, typer.Option("--trial", help="Have each kind of machine cut a small test picture.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Ask the scheduler which machines there are: versions, models, sandbox, pictures a minute, and why one gets none."""
    chosen = find_settings(config, None, None)
    if not chosen.cluster.scheduler:
        raise UsageError(
            "the configuration names no scheduler",
            advice='Under [cluster] in the configuration, write enabled = true, scheduler = "tls://HOST:8786", and in tls_ca_file, '
            "tls_cert and tls_key the files of the coordinator that `cutoutd cluster certs DIR` makes.",
        )
    require_cluster(chosen)
    keep_for_uploader(os.environ)
    from cutoutd.cluster.examination import examine  # noqa: PLC0415 -- for this command alone

    found = examine(chosen, trial=trial)
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        _show(chosen, found)
    if not any(not one["why_not"] for one in found["machines"]) or (trial and not found["trial"]["ok"]):
        raise typer.Exit(1)


def _show(chosen: Settings, found: dict[str, object]) -> None:
    machines = found["machines"]
    assert isinstance(machines, list)  # noqa: S101 -- as `examine` gives it
    scheduler = printable(chosen.cluster.scheduler)
    print(f"scheduler: {scheduler}, {len(machines)} machine{'' if len(machines) == 1 else 's'}")
    if not machines:
        print(
            f"    No machine has joined it. On each: cutoutd worker --scheduler {scheduler} --tls-ca-file ca.pem "
            "--tls-cert worker.pem --tls-key worker.key\n"
            "    One that does not come says in its log why; `cutoutd docs cluster` goes through it step by step."
        )
    for one in machines:
        models = ", ".join(f"{name} {sha256[:12]}" for name, sha256 in one["models"].items()) or "no model"
        print(
            f"{printable(one['address'])}: {one['slots']} slots, {one['per_minute']} pictures in the last minute, "
            f"{one['done']} in all; cutoutd {one['versions'].get('cutoutd', '?')}; {models}; {one['provider']}"
        )
        print(f"    sandbox: {', '.join(one['layers']) or 'nothing is known of it'}")
        if one["why_not"]:
            print(f"    GETS NO PICTURES: {printable(one['why_not'])}")
    trial = found.get("trial")
    if isinstance(trial, dict):
        print(f"trial picture: {'cut' if trial['ok'] else 'NOT CUT'}, {printable(trial['why'])}")
