"""Every setting with its default, unit and bounds, as frozen values.

A table is checked here as far as one key at a time can tell; what needs several keys or tables is in
`cutoutd.settings.rules`. This module must not read files or the environment. The reasons for the
defaults stand in ``config/cutoutd.toml``, which users read; here stand those for the bounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic import Field

from cutoutd.recipe import Metadata, Recipe
from cutoutd.settings import places, types
from cutoutd.settings.cluster import ClusterSettings
from cutoutd.settings.hosted import HostedSettings
from cutoutd.settings.page import PageSettings
from cutoutd.settings.renditions import Renditions, RenditionSettings
from cutoutd.settings.serve import ServeSettings
from cutoutd.settings.webhooks import FolderWebhook, WebhookSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_NAME: Final = 64
"""Characters of a folder's name, which stands in every line of the log."""


class Service(types.Table):
    """``[service]``: the daemon as a whole."""

    state_dir: types.StateDir = Field(
        default_factory=places.state_dir,
        description="Directory of the journal; one daemon at a time works on it.",
    )
    log_level: types.LogLevel = types.lenient(types.LogLevel.INFO, "Lowest level that is logged.")
    log_format: types.LogFormat = types.lenient(types.LogFormat.AUTO, "Format of a line of the log.")
    min_free_disk_mb: int = types.number(
        512,
        (0, 1_000_000_000),
        "MiB that stay free on the disks of outputs and journal; below it nothing new is taken. 0: any.",
    )
    keep_history_days: int = types.number(
        90, (0, 36_500), "Days for which what is over stays in the journal; 0 keeps it for ever."
    )
    allow_root: bool = Field(
        default=False, description="Whether root may work on folders that others can change."
    )


class PoolSettings(types.Table):
    """``[pool]``: the workers, and the limits for one picture."""

    workers: int = types.number(
        0,
        (0, 256),  # each is a process with a model in memory
        "Pictures that are cut at the same time; 0 lets the machine decide.",
    )
    job_timeout_s: float = types.number(
        120.0,
        (1, 86_400),  # even a small picture on a busy machine needs this long
        "Seconds after which work on one picture is given up.",
    )
    max_pixels: int = types.number(
        120_000_000,
        (10_000, 1_000_000_000),  # no camera's pictures have fewer; a result of so many takes 4 GB
        "Pixels of a picture; one that has more is refused by its header.",
    )
    max_file_mb: int = types.number(
        512,
        (1, 4096),  # it is held in memory as a whole
        "MiB of a picture's file; a larger one is refused.",
    )
    formats: types.Formats = Field(
        default=tuple(types.PictureFormat),
        description="Formats that are read; a file of any other fails and says so.",
    )
    worker_memory_mb: int = types.number(
        3072,
        (1024, 1_048_576),  # program and model alone take 0.6 GiB
        "MiB of address space of each worker.",
    )
    nice: int = types.number(
        5,
        (0, 19),  # going before other programs would need privileges
        "Scheduling priority of the workers, as in nice(1): the higher, the more they give way to other programs.",
    )
    sandbox: types.Sandbox = types.lenient(
        types.Sandbox.AUTO, "What happens where the system lacks a layer of the sandbox."
    )


class ModelSettings(types.Table):
    """``[model]``: the salient object model, and its execution provider."""

    name: str = Field(
        default="u2net-int8", min_length=1, max_length=MAX_NAME, description="Name in the catalog."
    )
    second: str = Field(
        default="",
        max_length=MAX_NAME,
        description="Name of a second model that is run where a cutout is doubtful; empty: none.",
    )
    provider: types.ExecutionProvider = types.lenient(
        types.ExecutionProvider.AUTO, "What the model runs on; a named one must work."
    )


class MatteSettings(types.Table):
    """``[folder.matte]``: the edges of a folder's cutouts."""

    refine: bool = Field(default=True, description="Edges follow the full-resolution picture.")
    decontaminate: bool = Field(default=True, description="The old background's colour leaves soft edges.")


class Hooks(types.Table):
    """``[folder.hooks]``: commands that run on events of a folder."""

    on_done: types.Command = types.lenient((), "When a cutout has its name; the sidecar's path is added.")
    on_review: types.Command = types.lenient((), "When a cutout went to review; the sidecar's path is added.")
    on_doubtful: types.Command = types.lenient(
        (), "When a published cutout is doubtful, beside on_done; the sidecar's path is added."
    )
    on_failed: types.Command = types.lenient(
        (), "When a picture was given up; the failure record's path is added."
    )
    on_attention: types.Command = types.lenient(
        (), "When the folder needs its owner, and when it is well again."
    )

    def commands(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """The configured commands by event."""
        for event in Hooks.model_fields:
            command = getattr(self, event)
            if command:
                yield event, command


class CommonHooks(Hooks):
    """``[hooks]``: hooks of all folders without their own, and how hooks run."""

    notify: bool = Field(
        default=False, description="Whether the desktop shows a notice where a person is needed."
    )
    timeout_s: float = types.number(30.0, (1, 3600), "Seconds after which a command is ended.")
    at_once: int = types.number(
        2,
        (1, 16),  # each is a process beside the workers
        "Commands that run at the same time; others wait.",
    )


class Folder(types.Table):
    """``[[folder]]``: one hot folder. Its paths are absolute."""

    name: types.Name = Field(min_length=1, max_length=MAX_NAME, description="Unique.")
    input: types.Place = Field(description="Directory that is watched.")
    output: types.Place = Field(description="Directory the cutouts go to.")
    route: types.Route = types.lenient(types.Route.LOCAL, "Where its pictures are cut.")
    escalate_below: float = types.number(
        0.5,
        (0, 1),
        "Probability that the local cutout is right below which the service cuts it again; 0: never.",
    )
    escalate_backlog_s: int = types.number(
        0,
        (0, 864_000),
        "Seconds that the folder's queue may take here before the service helps; 0: however long.",
    )
    max_credits_per_day: types.NumberOrAuto = types.number(
        None, (0, 1_000_000), "Credits this folder may spend in a day (UTC); None: what all may together."
    )
    model: str = Field(
        default="",
        max_length=MAX_NAME,
        description="Name of its model in the catalog; empty: that of [model].",
    )
    recursive: bool = Field(default=True, description="Sub-directories are watched and mirrored.")
    include: types.Patterns = types.lenient(("*",), "A file must match one of these patterns.")
    exclude: tuple[types.Pattern, ...] = types.lenient((), "A file may match none of these patterns.")
    existing: types.Existing = types.lenient(
        types.Existing.CUT, "What becomes of pictures that are there at the first start."
    )
    raw_pairs: types.RawPairs = types.lenient(
        types.RawPairs.JPEG, "Which is cut where a raw file and a JPEG or HEIC of one shot are there."
    )
    pair_wait_s: float = types.number(
        5.0, (0, 3600), "Seconds the other one of such a pair waits for the one that is to be cut."
    )
    watch: types.Watch = types.lenient(types.Watch.AUTO, "How changes are noticed.")
    settle_s: types.NumberOrAuto = types.number(
        None,
        (0.1, 3600),  # sooner, files that are still being written would be taken
        "Seconds without change before a file is taken; None: 1.0, and 5.0 on network file systems.",
    )
    poll_interval_s: float = types.number(
        5.0,
        (0.1, 86_400),  # a look costs time of its own
        "Seconds between two scans where the system reports no events.",
    )
    rescan_interval_s: float = types.number(
        60.0,
        (1, 86_400),  # a lost event must not go unnoticed for more than a day
        "Seconds between two full scans where the system reports events.",
    )
    order: types.Order = types.lenient(types.Order.OLDEST, "Which picture comes first.")
    moves: types.Moves = types.lenient(
        types.Moves.FOLLOW,
        "What becomes of the result of a picture that is renamed or moved inside the input.",
    )
    on_conflict: types.OnConflict = types.lenient(
        types.OnConflict.SUFFIX, "When a file that is not ours has a cutout's name."
    )
    names: types.Names = types.lenient(
        types.Names.AUTO, "How close names keep to the sources' where another system refuses them."
    )
    originals: types.Originals = types.lenient(
        types.Originals.KEEP, "What becomes of an original that is done."
    )
    originals_dir: types.PlaceOrNone = Field(default=None, description="Where originals are moved to.")
    companions: types.Companions = types.lenient(
        types.Companions.AUTO, "What becomes of the .xmp, .pp3, .dop, .aae beside an original that goes."
    )
    sidecar_dir: types.PlaceOrNone = Field(
        default=None, description="Where sidecars go; None: beside the cutout."
    )
    metadata: Metadata = types.lenient(Metadata.NO_LOCATION, "How much metadata a cutout keeps.")
    derived_from: bool = Field(
        default=False, description="Whether a cutout names the SHA-256 of its source (xmpMM:DerivedFrom)."
    )
    review_below: float = types.number(
        0.2, (0, 1), "Probability that it is right below which a cutout goes to review."
    )
    doubtful_below: float = types.number(0.6, (0, 1), "Likewise, below which it is marked.")
    mode: types.Mode = Field(
        default=types.Written(text="", value=None),
        description="Permission bits of the files, octal; empty: what the directory gives, and no more than the original.",
    )
    group: str = Field(
        default="", description="Group of the files; empty: what the directory gives, or the original's."
    )
    matte: MatteSettings = Field(default_factory=MatteSettings, description="The edges.")
    hooks: Hooks = Field(default_factory=Hooks, description="Commands that are run for this folder.")
    rendition: Renditions = types.lenient((RenditionSettings(),), "Forms of the cutout.")
    webhook: tuple[FolderWebhook, ...] = types.lenient((), "Webhooks that receive its results.")

    @property
    def is_tagged(self) -> bool:
        """Whether the configuration lets a hosted service cut the folder's pictures."""
        return self.route.uses_hosted

    @property
    def is_clustered(self) -> bool:
        """Whether its owner wrote that other machines of a cluster may cut its pictures."""
        return self.route.uses_cluster

    @property
    def may_leave(self) -> bool:
        """Whether its owner wrote that anything of it may leave this machine: to a hosted service, a cluster, or a webhook."""
        return self.is_tagged or self.is_clustered or bool(self.webhook)

    @property
    def file_mode(self) -> int | None:
        """Permission bits of published files; None: the default of the directory."""
        return self.mode.value

    @property
    def has_portable_names(self) -> bool:
        """Whether results only get names that Windows accepts."""
        return self.names is types.Names.PORTABLE

    @property
    def subtrees(self) -> tuple[str, ...]:
        """The output relative to the input, where it lies inside; its files are never taken as sources."""
        if self.output.is_relative_to(self.input):
            return (self.output.relative_to(self.input).as_posix(),)
        return ()

    @property
    def places(self) -> dict[str, Path]:
        """The folder's directories by key, without those that are not set."""
        named = {key: getattr(self, key) for key in ("input", "output", "originals_dir", "sidecar_dir")}
        return {key: place for key, place in named.items() if place is not None}

    @property
    def backgrounds(self) -> tuple[Path, ...]:
        """Background pictures of the renditions, each once."""
        pictures = [one.background_picture for one in self.rendition]
        return tuple(dict.fromkeys(picture for picture in pictures if picture is not None))

    def recipe(self) -> Recipe:
        """All settings that decide what cutouts look like."""
        return Recipe(
            renditions=tuple(one.rendition() for one in self.rendition),
            refine=self.matte.refine,
            decontaminate=self.matte.decontaminate,
            metadata=self.metadata,
            derived_from=self.derived_from,
            review_below=self.review_below,
            second_below=self.doubtful_below,
        )


class Settings(types.Table):
    """The whole configuration."""

    service: Service = Field(default_factory=Service, description="The daemon as a whole.")
    pool: PoolSettings = Field(default_factory=PoolSettings, description="The workers.")
    model: ModelSettings = Field(default_factory=ModelSettings, description="The model.")
    hosted: HostedSettings = Field(default_factory=HostedSettings, description="The hosted service.")
    cluster: ClusterSettings = Field(
        default_factory=ClusterSettings, description="Machines of one's own that cut."
    )
    webhooks: WebhookSettings = Field(
        default_factory=WebhookSettings, description="Webhooks that receive results."
    )
    page: PageSettings = Field(default_factory=PageSettings, description="The page in a browser.")
    serve: ServeSettings = Field(default_factory=ServeSettings, description="The API for programs.")
    hooks: CommonHooks = Field(default_factory=CommonHooks, description="Commands that are run at an event.")
    folder: tuple[Folder, ...] = Field(default=(), description="The hot folders.")

    def model_of(self, folder: Folder) -> str:
        """Return the name of the model that cuts a folder's pictures."""
        return folder.model or self.model.name

    @property
    def models(self) -> tuple[str, ...]:
        """The names of all models that folders use, each once; that of [model] where there is no folder."""
        return tuple(dict.fromkeys(map(self.model_of, self.folder))) or (self.model.name,)

    @property
    def needed_models(self) -> tuple[str, ...]:
        """The names of `models`, and of the model that runs where they leave doubt."""
        return tuple(dict.fromkeys((*self.models, *filter(None, [self.model.second]))))

    @property
    def tagged(self) -> tuple[Folder, ...]:
        """The folders whose pictures a hosted service may get; none while that is not enabled."""
        return tuple(folder for folder in self.folder if folder.is_tagged) if self.hosted.enabled else ()

    @property
    def clustered(self) -> tuple[Folder, ...]:
        """The folders whose pictures other machines of a cluster may get; none while that is not enabled."""
        return tuple(folder for folder in self.folder if folder.is_clustered) if self.cluster.enabled else ()

    @property
    def with_webhooks(self) -> tuple[Folder, ...]:
        """The folders whose results are sent to webhooks; none while webhooks are not enabled."""
        return tuple(folder for folder in self.folder if folder.webhook) if self.webhooks.enabled else ()

    @property
    def needs_uploader(self) -> bool:
        """Whether an uploader is needed: for a hosted service, or for a webhook."""
        return bool(self.tagged or self.with_webhooks)
