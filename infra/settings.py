"""Settings: environment variables first, then an optional TOML file, then the defaults written here.

Variables begin with `MEGACITY_` and nest by `__`: `MEGACITY_HTTP__PORT=8080`. The well-known `DATABASE_URL`,
`KAFKA_BOOTSTRAP_SERVERS` and `REDIS_URL` are honoured too. The file is `megacity.toml` in the checkout, or
the one that `MEGACITY_SETTINGS_FILE` names. Relative paths count from the checkout.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import SettingsError as UnparsableSetting

from domain.zones import ZoneId
from infra.observability.redaction import mask_passwords

PREFIX = "MEGACITY_"
SETTINGS_FILE_VARIABLE = "MEGACITY_SETTINGS_FILE"
TEST_DATA_VARIABLE = "MEGACITY_TEST_DATA"
WELL_KNOWN_VARIABLES = {
    "DATABASE_URL": ("database", "url"),
    "KAFKA_BOOTSTRAP_SERVERS": ("kafka", "bootstrap_servers"),
    "REDIS_URL": ("redis", "url"),
}


class InvalidSettings(Exception):
    """One or more settings cannot be right; `problems` names each variable and says why."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class DatabaseSettings(_Section):
    url: SecretStr | None = None
    """Any PostgreSQL 15 or newer; without it the embedded one is started."""
    embedded_port: int | None = Field(default=None, ge=1, le=65535)
    """Without it a free port is chosen."""
    embedded_name: str = Field(default="megacity", pattern=r"^[a-z_][a-z0-9_]{0,62}$")
    """The database in the embedded server; `url` names its own."""
    allow_embedded_in_production: bool = False
    pool_max_size: int = Field(default=10, ge=1)
    role_secret_file: Path
    """The passwords of the database roles are derived from this secret."""

    @field_validator("url")
    @classmethod
    def _is_for_postgresql(cls, url: SecretStr | None) -> SecretStr | None:
        text = url.get_secret_value() if url is not None else ""
        is_url = text.startswith(("postgresql://", "postgres://"))
        is_connection_string = "://" not in text and "=" in text  # libpq's `host=... dbname=...`
        if url is not None and not is_url and not is_connection_string:
            raise ValueError("must begin with postgresql://")
        return url


class HttpSettings(_Section):
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    """0 takes a free port."""
    max_body_bytes: int = Field(default=1024 * 1024, ge=1024)
    max_import_body_bytes: int = Field(default=16 * 1024 * 1024, ge=1024)
    """For bulk imports alone."""
    public_base_url: str | None = Field(default=None, pattern=r"^https?://[^\s/]+")
    """Where clients reach this server, when that is not host and port (behind a proxy)."""


class AuthSettings(_Section):
    issuer: str = Field(default="urn:megacity", min_length=1)
    audience: str = Field(default="megacity-api", min_length=1)
    access_token_ttl_s: int = Field(default=900, ge=10, le=86_400)
    refresh_ttl_s: int = Field(default=30 * 86_400, ge=60)
    refresh_grace_s: float = Field(default=30.0, ge=0, le=300)
    """How long a refresh token that was just used up still answers with its successor."""
    password_hashes_in_parallel: int = Field(default=2, ge=1)
    password_hashes_waiting: int = Field(default=64, ge=0)
    signing_key_file: Path
    refresh_secret_file: Path
    email_hash_key_file: Path


class ExamSettings(_Section):
    submission_grace_s: float = Field(default=5.0, ge=0, le=300)
    """Answers that reach the server this late after the deadline still count."""
    next_item_wait_s: float = Field(default=1.0, ge=0, le=30)
    """How long the answer to a response waits for the next item of an adaptive test."""


class CatSettings(_Section):
    feed: Literal["log", "kafka"] = "log"
    """Whence the engine of adaptive tests hears of responses. The role `all` runs it where it is the log."""
    calibrate_every_s: float = Field(default=0.0, ge=0, le=31_536_000)
    """How often item banks are looked at for calibration, in the role `deadlines`; 0: only when asked."""


class ProjectionSettings(_Section):
    batch_size: int = Field(default=2_000, ge=1, le=100_000)
    poll_interval_s: float = Field(default=0.2, gt=0)
    gather_s: float = Field(default=0.05, ge=0, le=5)
    """How long events may gather before a projection takes them, while there are always new ones; reads see a
    write so much later then. After a pause the first event is taken at once."""
    ready_lag: int = Field(default=50_000, ge=0)
    """Events a projection may be behind before the process says that it is not ready."""
    check_interval_s: float = Field(default=10.0, ge=0)
    """How often a few streams are folded anew and compared with the rows; 0 turns it off."""
    check_sample: int = Field(default=5, ge=1, le=1_000)
    """How many streams each time."""


class EventStoreSettings(_Section):
    readers: int = Field(default=4, ge=1)
    """Connections that load streams; appends have three more, however many there are."""
    queue_limit: int = Field(default=512, ge=1)
    """Appends and loads that may be under way; past that a command is told to come back later."""
    queue_limit_bytes: int = Field(default=64 * 1024 * 1024, ge=1024)
    """What the events of those appends may hold together."""


class SequencerSettings(_Section):
    busy_interval_s: float = Field(default=0.002, gt=0, le=1)
    """Between two looks while events come in."""
    idle_interval_s: float = Field(default=0.02, gt=0, le=1)
    """Between two looks while none do; an event that comes alone may wait so long to be seen."""
    lease_s: float = Field(default=3.0, ge=0.5, le=60)
    """How long the leading sequencer may show no sign of life before another takes over."""


class KafkaSettings(_Section):
    bootstrap_servers: str | None = Field(default=None, pattern=r"^[^\s,/]+:\d+(,[^\s,/]+:\d+)*$")
    """`host:port`, several separated by commas. Without it nothing is relayed to Kafka."""
    topic_prefix: str = Field(default="megacity", pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_-]{0,99}$")
    """Of the topics, `megacity.attempt.v1`. Another prefix relays the whole log anew into other topics."""
    partitions: int = Field(default=6, ge=1, le=10_000)
    """Of a topic when it is made. It never changes afterwards: streams are spread by it."""
    replication_factor: int | None = Field(default=None, ge=1)
    """Without it, as the broker has it."""
    retention_days: int | None = Field(default=None, ge=1)
    """How long Kafka keeps messages; without it, for ever."""
    compression: Literal["none", "lz4"] = "none"
    fetch_wait_ms: int = Field(default=30, ge=1, le=10_000)
    """How long a broker may keep a fetch that finds nothing. With Apache Kafka more costs no time; the
    embedded broker looks for new messages after half of it."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    username: str | None = None
    password: SecretStr | None = None
    ca_file: Path | None = None
    """Of the authority that has signed the brokers' certificates, where the system does not know it."""
    projections: Annotated[tuple[str, ...], NoDecode] = ()
    """Read models that the role `consumer` keeps from Kafka, and no other role from the log."""

    @field_validator("projections", mode="before")
    @classmethod
    def _names_by_commas(cls, given: Any) -> Any:
        return _by_commas(given)

    @field_validator("ca_file", mode="before")
    @classmethod
    def _counts_from_the_checkout(cls, path: Any) -> Any:
        return _absolute(path)


class RedisSettings(_Section):
    url: SecretStr | None = None
    """A Redis or Valkey that all processes share. Without it each keeps for itself what would be there."""

    @field_validator("url")
    @classmethod
    def _is_for_redis(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must begin with redis://, rediss:// or unix://")
        return url


class LimitsSettings(_Section):
    """How often somebody may ask: on average, and at once."""

    enabled: bool = True
    user_per_s: float = Field(default=10, gt=0, le=1_000_000)
    user_burst: int = Field(default=20, ge=1, le=1_000_000)
    service_per_s: float = Field(default=10_000, gt=0, le=1_000_000)
    service_burst: int = Field(default=20_000, ge=1, le=1_000_000)
    address_per_min: float = Field(default=100, gt=0, le=60_000_000)
    """Requests without a valid token, from one IPv4 address or one IPv6 network of 64 bits."""
    address_burst: int = Field(default=100, ge=1, le=1_000_000)
    network_per_min: float = Field(default=6_000, gt=0, le=60_000_000)
    """The same, from one of `known_networks`, where a whole school may be behind one address."""
    network_burst: int = Field(default=1_000, ge=1, le=1_000_000)
    sign_ins_per_min: float = Field(default=10, gt=0, le=60_000_000)
    """Tries at the password of one account, from wherever they come, successful ones included."""
    sign_in_burst: int = Field(default=10, ge=1, le=1_000_000)
    known_networks: Annotated[tuple[str, ...], NoDecode] = ()
    """Addresses of organisations, by CIDR (`203.0.113.0/24`), several separated by commas."""
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ()
    """By CIDR: whose `X-Forwarded-For` is believed. Without it the client is whoever connects."""
    store_timeout_ms: int = Field(default=50, ge=1, le=10_000)
    """A Redis that takes longer counts as away for this request."""

    @field_validator("known_networks", "trusted_proxies", mode="before")
    @classmethod
    def _networks_by_commas(cls, given: Any) -> Any:
        return _by_commas(given)

    @field_validator("known_networks", "trusted_proxies")
    @classmethod
    def _are_networks(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for each in given:
            ip_network(each)  # its ValueError says what is wrong
        return given


class OtelSettings(_Section):
    enabled: bool = False
    """OpenTelemetry traces; where they are sent is set by the standard `OTEL_...` variables."""


class MailSettings(_Section):
    sender: Literal["folder", "smtp"] = "folder"
    """`folder` writes each mail into a file under `mail` in `var_dir`."""
    from_address: str = Field(default="no-reply@megacity.invalid", pattern=r"^[^@\s]+@[^@\s]+$")
    site_url: str | None = Field(default=None, pattern=r"^https?://[^\s/]+")
    """Where people open the links in mails; without it, where this server is reached."""
    smtp_host: str | None = None
    smtp_port: int = Field(default=587, ge=1, le=65535)
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_username: str | None = None
    smtp_password: SecretStr | None = None

    @model_validator(mode="after")
    def _smtp_needs_a_host(self) -> "MailSettings":
        if self.sender == "smtp" and self.smtp_host is None:
            raise ValueError("sender=smtp needs smtp_host")
        return self


class RoleSettings(_Section):
    """Roles of administrators of zones and of the system, which somebody else has to confirm."""

    confirm_within_days: int = Field(default=30, ge=1, le=3_660)
    """Of being granted or confirmed last; then they lapse."""
    warn_before_days: int = Field(default=7, ge=0, le=3_660)
    check_interval_s: float = Field(default=60.0, gt=0, le=86_400)


class OidcProvider(_Section):
    """One identity provider with which people sign in (OpenID Connect)."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")
    """In addresses and events. It stays as it is for as long as identities are linked under it."""
    title: str | None = Field(default=None, min_length=1, max_length=100)
    """What people are shown; without it, the name."""
    issuer: str = Field(pattern=r"^https?://[^\s?#@]+$")
    """Exactly as the issuer writes it."""
    client_id: str = Field(min_length=1, max_length=255)
    client_secret_file: Path | None = None
    """Without it we are a public client, and PKCE alone proves who started."""
    scopes: tuple[str, ...] = ("openid", "email", "profile")
    redirect_uri: str | None = Field(default=None, pattern=r"^https?://[^\s#]+$")
    """The page that brings code and state back here; without it, `/sign-in/<name>` of the site."""

    @field_validator("client_secret_file", mode="before")
    @classmethod
    def _counts_from_the_checkout(cls, path: Any) -> Any:
        return _absolute(path)

    @field_validator("issuer")
    @classmethod
    def _is_https_or_here(cls, issuer: str) -> str:
        host = urlsplit(issuer).hostname
        if not issuer.startswith("https://") and host not in {"127.0.0.1", "::1", "localhost"}:
            raise ValueError("must begin with https:// unless the issuer is on this machine")
        return issuer

    @field_validator("scopes")
    @classmethod
    def _asks_for_an_id_token(cls, scopes: tuple[str, ...]) -> tuple[str, ...]:
        if "openid" not in scopes:
            raise ValueError("must name the scope openid")
        return scopes


class OidcSettings(_Section):
    providers: tuple[OidcProvider, ...] = ()
    """Without any, nobody signs in but with what they have here."""

    @model_validator(mode="after")
    def _names_differ(self) -> "OidcSettings":
        names = [each.name for each in self.providers]
        if len(set(names)) < len(names):
            raise ValueError("two providers have the same name")
        return self


class PasskeySettings(_Section):
    rp_id: str | None = Field(default=None, pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")
    """The domain that passkeys are made for, and lost with; without it, the host of the first origin."""
    name: str = Field(default="DreamSeedAI MegaCity", min_length=1, max_length=64)
    origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Of the pages that use passkeys, several separated by commas; without it, the site."""

    @field_validator("origins", mode="before")
    @classmethod
    def _origins_by_commas(cls, given: Any) -> Any:
        return _by_commas(given)


class PaymentSettings(_Section):
    webhook_secrets_file: Path | None = None
    """The payment provider's `whsec_` secrets, one a line. Without it no webhook is believed."""

    @field_validator("webhook_secrets_file", mode="before")
    @classmethod
    def _counts_from_the_checkout(cls, path: Any) -> Any:
        return _absolute(path)


class LogSettings(_Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"
    """`auto` is `console` on a terminal and `json` everywhere else."""


# Section, field and the file's name in var/secrets.
_SECRET_FILES = (
    ("database", "role_secret_file", "database-roles.key"),
    ("auth", "signing_key_file", "token-signing-key.json"),
    ("auth", "refresh_secret_file", "refresh-tokens.key"),
    ("auth", "email_hash_key_file", "email-hash.key"),
)


class Settings(BaseSettings):
    """Everything that can be set. Frozen; made by `load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    environment: Literal["development", "production"] = "development"
    var_dir: Path
    """Everything that is made at run time."""
    zone: ZoneId = "univprep"
    """Of the demo people and the sample data, and of whoever registers without naming one."""
    demo_organization: str = Field(default="MegaCity Demo School", min_length=1)
    consistency_wait_s: float = Field(default=2.0, ge=0, le=30)
    """How long a read waits for the write whose consistency token it carries."""
    database: DatabaseSettings
    http: HttpSettings = HttpSettings()
    auth: AuthSettings
    exam: ExamSettings = ExamSettings()
    cat: CatSettings = CatSettings()
    projections: ProjectionSettings = ProjectionSettings()
    event_store: EventStoreSettings = EventStoreSettings()
    sequencer: SequencerSettings = SequencerSettings()
    kafka: KafkaSettings = KafkaSettings()
    redis: RedisSettings = RedisSettings()
    limits: LimitsSettings = LimitsSettings()
    otel: OtelSettings = OtelSettings()
    mail: MailSettings = MailSettings()
    oidc: OidcSettings = OidcSettings()
    passkeys: PasskeySettings = PasskeySettings()
    payments: PaymentSettings = PaymentSettings()
    roles: RoleSettings = RoleSettings()
    log: LogSettings = LogSettings()

    @property
    def secrets_dir(self) -> Path:
        return self.var_dir / "secrets"

    @property
    def mail_dir(self) -> Path:
        """Where mail goes that is not sent by SMTP."""
        return self.var_dir / "mail"

    @property
    def log_dir(self) -> Path:
        return self.var_dir / "log"

    @property
    def postgres_data_dir(self) -> Path:
        """Of the embedded PostgreSQL."""
        return self.var_dir / "postgres"

    @property
    def postgres_log_file(self) -> Path:
        return self.log_dir / "postgres.log"

    @property
    def run_lock_file(self) -> Path:
        return self.var_dir / "run.lock"

    @property
    def uses_embedded_postgres(self) -> bool:
        return self.database.url is None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the settings file takes its place
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - secrets have files of their own
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (
            init_settings,
            env_settings,
            _WellKnownVariables(settings_cls),
            TomlConfigSettingsSource(settings_cls, toml_file=settings_file()),
        )

    @model_validator(mode="before")
    @classmethod
    def _place_files(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Fills in where the secret files lie, which depends on `var_dir`, and makes every path absolute."""
        placed = dict(given)
        var_dir = _absolute(placed.get("var_dir", "var"))
        placed["var_dir"] = var_dir
        for section, field, file_name in _SECRET_FILES:
            values = _as_dict(placed.get(section, {}))
            values[field] = _absolute(values.get(field) or Path(str(var_dir)) / "secrets" / file_name)
            placed[section] = values
        return placed

    @model_validator(mode="after")
    def _production_has_a_database_of_its_own(self) -> "Settings":
        in_production = self.environment == "production"
        if in_production and self.uses_embedded_postgres and not self.database.allow_embedded_in_production:
            raise ValueError(
                "MEGACITY_ENVIRONMENT=production needs a database: set DATABASE_URL to a PostgreSQL 15 or "
                "newer, or allow the embedded one with MEGACITY_DATABASE__ALLOW_EMBEDDED_IN_PRODUCTION=true"
            )
        return self


def load_settings() -> Settings:
    """Reads environment and settings file.

    Raises `InvalidSettings`, which names each variable or file entry that cannot be right. What was entered
    is not repeated: it may be a secret.
    """
    file = settings_file()
    if SETTINGS_FILE_VARIABLE in os.environ and not file.is_file():
        raise InvalidSettings([f"{SETTINGS_FILE_VARIABLE}: there is no file {file}"])
    try:
        return Settings()
    except ValidationError as error:
        raise InvalidSettings(
            [_sentence(each["loc"], each["msg"], file) for each in error.errors()]
        ) from None
    except UnparsableSetting as error:
        field = re.search(r'field "(\w+)"', str(error))
        name = _variable((field[1],)) if field else PREFIX
        raise InvalidSettings([f"{name}: cannot be read; set its parts one by one ({name}__...)"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidSettings([f"{file}: not valid TOML: {error}"]) from None
    except OSError as error:
        raise InvalidSettings([f"{file}: cannot be read: {error.strerror}"]) from None


def masked(settings: Settings) -> dict[str, Any]:
    """JSON-safe settings for a screen: passwords are masked, secret files are named and not read."""
    shown: dict[str, Any] = settings.model_dump(mode="json")
    if settings.database.url is not None:
        shown["database"]["url"] = mask_passwords(settings.database.url.get_secret_value())
    return shown


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """`MEGACITY_...` variables that nothing reads: most likely misspelt."""
    known = {name.upper() for name in Settings.model_fields}
    other = {SETTINGS_FILE_VARIABLE, TEST_DATA_VARIABLE}
    return sorted(
        name
        for name in environment
        if name.upper().startswith(PREFIX)
        and name.upper() not in other
        and name.upper().removeprefix(PREFIX).split("__")[0] not in known
    )


def project_root() -> Path:
    """The checkout; the current folder where the packages were installed away from it."""
    beside = Path(__file__).resolve().parent.parent
    return beside if (beside / "pyproject.toml").is_file() else Path.cwd()


def settings_file() -> Path:
    """Where the optional settings file is looked for."""
    named = os.environ.get(SETTINGS_FILE_VARIABLE)
    return project_root() / Path(named).expanduser() if named else project_root() / "megacity.toml"


class _WellKnownVariables(PydanticBaseSettingsSource):
    """Names that other programs use as well; our own names win over them."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - see below
        # The base class asks field by field; these names are nested, so __call__ gives all at once.
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, (section, field) in WELL_KNOWN_VARIABLES.items():
            if value := os.environ.get(name):
                found.setdefault(section, {})[field] = value
        return found


def _by_commas(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    return tuple(filter(None, (each.strip() for each in given.split(","))))


def _absolute(path: Any) -> Any:
    # What is no path at all is left for pydantic to refuse.
    return project_root() / Path(path).expanduser() if isinstance(path, str | Path) else path


def _as_dict(section: Any) -> dict[str, Any]:
    return section.model_dump(exclude_unset=True) if isinstance(section, BaseModel) else dict(section)


def _variable(location: tuple[str | int, ...]) -> str:
    return PREFIX + "__".join(str(part) for part in location).upper()


def _sentence(location: tuple[str | int, ...], message: str, file: Path) -> str:
    """Names the place where the bad value most likely came from."""
    message = message.removeprefix("Value error, ")
    if not location:
        return message
    variable = _variable(location)
    for name, place in WELL_KNOWN_VARIABLES.items():
        if place == location and variable not in os.environ and os.environ.get(name):
            variable = name
    if variable not in {name.upper() for name in os.environ} and file.is_file():
        return f"{'.'.join(str(part) for part in location)} in {file}: {message}"
    return f"{variable}: {message}"
