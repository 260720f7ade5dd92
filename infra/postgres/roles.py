"""Databases and roles: their passwords, their conninfos, who may connect.

The roles themselves come from migration 0001. Here is what a migration cannot hold: passwords are
secret and differ per installation, and the rights on a database belong to its name, so that neither a
copy made from a template nor a restored dump has them.
"""

import hashlib
import hmac
from typing import Final

import psycopg
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from infra.postgres.errors import PostgresError

OWNER: Final = "megacity_owner"
WRITER: Final = "megacity_writer"
PROJECTOR: Final = "megacity_projector"
READER: Final = "megacity_reader"
ANALYST: Final = "megacity_analyst"
LOGIN_ROLES: Final = (WRITER, PROJECTOR, READER, ANALYST)

_PASSWORD_CONTEXT = b"megacity database role "


def role_password(role_secret: bytes, role: str) -> str:
    """HMAC-SHA256 of the role's name under the installation's secret, in hex: nothing more to store.

    Raises ValueError for a secret of less than 16 bytes.
    """
    if len(role_secret) < 16:
        raise ValueError("the role secret has less than 16 bytes")
    return hmac.new(role_secret, _PASSWORD_CONTEXT + role.encode(), hashlib.sha256).hexdigest()


def role_conninfo(base_conninfo: str, role: str, role_secret: bytes) -> str:
    """The same server and database (URL or keywords), signed in as one of LOGIN_ROLES."""
    return make_conninfo(base_conninfo, user=role, password=role_password(role_secret, role))


def with_options(conninfo: str, options: str) -> str:
    """The conninfo with more server settings (`-c name=value`), beside those that it has already."""
    there = conninfo_to_dict(conninfo).get("options")
    return make_conninfo(conninfo, options=f"{there} {options}" if there else options)


def ensure_database(admin_conninfo: str, name: str) -> bool:
    """Create the database if missing; True when it was. `admin_conninfo` names another, existing one."""
    with psycopg.connect(admin_conninfo, autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            return False
        create = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(sql.Identifier(name))
        try:
            connection.execute(create)
        except (errors.DuplicateDatabase, errors.UniqueViolation):
            return False  # somebody else did, just now
        return True


def admit_login_roles(connection: psycopg.Connection) -> None:
    """Only our login roles may connect to this database, and PUBLIC may do nothing in it."""
    database = sql.Identifier(connection.info.dbname)
    missing = connection.execute(
        """
        SELECT bool_or(NOT has_database_privilege(role, current_database(), 'CONNECT')),
               NOT has_database_privilege(%s, current_database(), 'CREATE'),
               (SELECT bool_or(acl.grantee = 0)
                FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) acl
                WHERE datname = current_database())
        FROM unnest(%s::text[]) role
        """,
        [OWNER, list(LOGIN_ROLES)],
    ).fetchone()
    if missing is not None and not any(missing):
        return  # altering rights takes a lock and writes the catalogue: only where there is a need
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
    connection.execute(
        sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(
            database, sql.SQL(", ").join(map(sql.Identifier, LOGIN_ROLES))
        )
    )
    # Who cannot sign in: its functions make the schemas in which rows are rebuilt (0033_rebuild.sql).
    connection.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(database, sql.Identifier(OWNER)))


def set_role_passwords(connection: psycopg.Connection, base_conninfo: str, role_secret: bytes) -> list[str]:
    """Give each login role its password unless it opens a session already; answers whose was set.

    Raises PostgresError when a role cannot sign in even then (the server's pg_hba.conf, mostly).
    """
    changed = []
    for role in LOGIN_ROLES:
        conninfo = role_conninfo(base_conninfo, role, role_secret)
        if _refusal(conninfo) is None:
            continue
        # Hashed here, so that the password itself appears in no statement and no log.
        hashed = connection.pgconn.encrypt_password(
            role_password(role_secret, role).encode(), role.encode(), b"scram-sha-256"
        ).decode()
        connection.execute(
            sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(hashed))
        )
        if refusal := _refusal(conninfo):
            raise PostgresError(
                f"The database role {role} cannot sign in, although its password has just been set: {refusal}"
            )
        changed.append(role)
    return changed


def _refusal(conninfo: str) -> str | None:
    try:
        psycopg.connect(conninfo, connect_timeout=10).close()
    except psycopg.OperationalError as error:
        return str(error).strip()
    return None
