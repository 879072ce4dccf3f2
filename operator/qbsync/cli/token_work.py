"""What `qbsync tokens` does."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from qbsync.api.connection import Environment
from qbsync.api.durations import parse_duration
from qbsync.cli import output, session
from qbsync.cli.output import Format
from qbsync.engine.clock import SystemClock
from qbsync.kube.desk import Desk
from qbsync.kube.errors import Conflict
from qbsync.kube.secrets import Secret, from_json
from qbsync.tokens import migration
from qbsync.tokens.adoption import Adopted, Adopter, Adoption, AdoptionRefused, Name
from qbsync.tokens.migration import Action, Documents, Field, Found, MigrationRefused, Plan, Target
from qbsync.tokens.purge import Fate, Orphan, find_orphans, purge


class WrongOption(Exception):
    """An option cannot be understood; `str()` says what to write."""


# -- migrate -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MigrateOptions:
    """The options of `qbsync tokens migrate`."""

    name: str
    from_env: Path | None
    from_file: Path | None
    namespace: str | None
    environment: str | None
    realm_id: str | None
    mapping: tuple[str, ...]
    api_endpoint: str | None
    token_endpoint: str | None
    apply: bool

    @property
    def source(self) -> str:
        """The file, for people."""
        return str(self.from_env or self.from_file)


def migrate(options: MigrateOptions, form: Format) -> int:
    """`qbsync tokens migrate`; returns the exit code."""
    try:
        found = migration.find(_variables(options), _mapping(options.mapping))
        environment = Environment(options.environment.capitalize()) if options.environment else None
    except MigrationRefused as error:
        output.complain(error)
        return output.FINDINGS
    except (WrongOption, OSError, UnicodeDecodeError) as error:
        output.complain(_option_error(error))
        return output.FAILED
    except ValueError:
        output.complain("--environment is Production, Sandbox or Custom")
        return output.FAILED

    async def work(desk: Desk, namespace: str) -> int:
        target = Target(
            namespace=options.namespace or namespace,
            name=options.name,
            environment=environment,
            realm_id=options.realm_id,
            api_endpoint=options.api_endpoint,
            token_endpoint=options.token_endpoint,
        )
        try:
            wanted = migration.documents(found, target)
            plan = await _plan(desk, wanted)
        except MigrationRefused as error:
            output.complain(error)
            return output.FINDINGS
        try:
            await _apply(desk, wanted, plan, dry_run=not options.apply)
        except Conflict as error:
            output.complain(f"{error}: another tool owns these fields, so nothing more was applied")
            return output.FINDINGS
        _show_plan(options, found, wanted, plan, form)
        return output.OK

    return session.run(work)


def _variables(options: MigrateOptions) -> dict[str, str]:
    path = options.from_env or options.from_file
    if path is None or (options.from_env is not None and options.from_file is not None):
        raise WrongOption("say either --from-env FILE or --from-file FILE")
    text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8-sig")
    return migration.read_env(text) if options.from_env is not None else migration.read_json(text)


def _mapping(pairs: Sequence[str]) -> dict[Field, str]:
    mapping: dict[Field, str] = {}
    for pair in pairs:
        field, _, name = pair.partition("=")
        if field not in tuple(Field) or not name:
            raise WrongOption(f"--map is FIELD=NAME, where FIELD is one of {', '.join(Field)}")
        mapping[Field(field)] = name
    return mapping


def _option_error(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"cannot read {error.filename} ({error.strerror})"
    return "the file is not text" if isinstance(error, UnicodeDecodeError) else str(error)


async def _plan(desk: Desk, wanted: Documents) -> Plan:
    return migration.plan(
        wanted,
        client=_secret(await desk.find(wanted.client)),
        tokens=_secret(await desk.find(wanted.tokens)),
        connection=await desk.find(wanted.connection),
    )


def _secret(body: Mapping[str, Any] | None) -> Secret | None:
    return from_json(body) if body is not None else None


async def _apply(desk: Desk, wanted: Documents, plan: Plan, *, dry_run: bool) -> None:
    """The connection last: with it the operator begins."""
    for document, action in _pairs(wanted, plan):
        if action is not Action.LEAVE:
            # The operator emptied the import Secret, so it owns those fields.
            force = document is wanted.tokens and action is Action.REPLACE
            await desk.apply(document, force=force, dry_run=dry_run)


def _pairs(wanted: Documents, plan: Plan) -> list[tuple[dict[str, Any], Action]]:
    return [
        (wanted.client, plan.client),
        (wanted.tokens, plan.tokens),
        (wanted.connection, plan.connection),
    ]


def _show_plan(options: MigrateOptions, found: Found, wanted: Documents, plan: Plan, form: Format) -> None:
    rows = [_row(document, action, found) for document, action in _pairs(wanted, plan)]
    if form is Format.JSON:
        applied = options.apply and plan.changes
        output.document({"applied": applied, "objects": rows, "remove": _to_remove(found)})
        return
    verb = "DONE" if options.apply else "WOULD"
    output.table(
        ("OBJECT", verb, "CONTENT"), [(row["object"], row["action"], row["content"]) for row in rows]
    )
    for line in _advice(options, found, wanted, plan):
        output.say(line)


def _row(document: Mapping[str, Any], action: Action, found: Found) -> dict[str, str]:
    metadata = document["metadata"]
    content = ", ".join(
        f"{key} (from {found.names.get(Field(key), '?')})" for key in document.get("stringData", ())
    )
    spec = document.get("spec", {})
    if spec:
        content = f"realmId {spec['realmId']}, environment {spec['environment']}"
    return {
        "object": f"{document['kind']} {metadata['namespace']}/{metadata['name']}",
        "action": str(action),
        "content": content,
    }


def _advice(options: MigrateOptions, found: Found, wanted: Documents, plan: Plan) -> list[str]:
    if not plan.changes:
        return [f"nothing to do: {plan.why}" if plan.why else "nothing to do"]
    metadata = wanted.connection["metadata"]
    if not options.apply:
        return [
            "",
            "Nothing was written. Next:",
            "1. Stop the program that uses these tokens, everywhere: two users of one refresh token end the grant.",
            "2. Say the same with --apply.",
        ]
    return [
        "",
        "Next:",
        f"1. kubectl wait --for=condition=Ready -n {metadata['namespace']} qbconnection/{metadata['name']} "
        "--timeout=120s",
        "   ImportRejected there means that another program still uses this grant.",
        f"2. Remove {', '.join(_to_remove(found))} from {options.source}, and from wherever the old "
        "program got them; it must not start with them again.",
    ]


def _to_remove(found: Found) -> list[str]:
    """The names of what is a secret, as the file has them."""
    fields = (Field.REFRESH_TOKEN, Field.ACCESS_TOKEN, Field.EXPIRES_AT, Field.CLIENT_SECRET)
    return [found.names[one] for one in fields if one in found.names]


# -- adopt -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AdoptOptions:
    """The options of `qbsync tokens adopt`."""

    source: str
    target: str
    from_secret: str | None
    replace: bool
    dry_run: bool
    wait: str
    patience: str
    key_dir: Path | None


def adopt(options: AdoptOptions, form: Format) -> int:
    """`qbsync tokens adopt`; returns the exit code."""
    try:
        source, target = _name("--from", options.source), _name("--to", options.target)
        wait, patience = parse_duration(options.wait), parse_duration(options.patience)
    except (WrongOption, ValueError) as error:
        output.complain(error)
        return output.FAILED

    async def work(desk: Desk, _: str) -> int:
        adopter = Adopter(
            desk=desk,
            keyring=session.keyring(options.key_dir),
            clock=SystemClock(),
            patience=patience,
            wait=wait,
        )
        try:
            done = await adopter.adopt(
                source,
                target,
                source_secret=options.from_secret,
                replace_grant=options.replace,
                dry_run=options.dry_run,
            )
        except AdoptionRefused as error:
            output.complain(error)
            return output.FINDINGS
        _show_adoption(done, target, form)
        return output.OK

    return session.run(work)


def _name(option: str, text: str) -> Name:
    namespace, _, name = text.partition("/")
    if not namespace or not name or "/" in name:
        raise WrongOption(f"{option} is NAMESPACE/NAME of a connection, such as billing/acme")
    return Name(namespace, name)


def _show_adoption(done: Adoption, target: Name, form: Format) -> None:
    if form is Format.JSON:
        output.document(
            {
                "outcome": str(done.what),
                "from": done.source,
                "to": done.target,
                "waitsForConnection": done.waits_for_connection,
                "refusedBefore": done.refused_before,
            }
        )
        return
    output.table(("FROM", "TO", "OUTCOME"), [(done.source, done.target, str(done.what))])
    if done.refused_before:
        output.say(
            "Intuit refused this grant when it was last used: the company may have to be connected anew"
        )
    if done.what is not Adopted.WOULD_MOVE:
        output.say(
            f"apply connection {target} now: it takes over these tokens"
            if done.waits_for_connection
            else f"connection {target} takes over these tokens within a minute (Event TokensAdopted)"
        )


# -- purge -------------------------------------------------------------------------------------------------


def purge_orphans(namespaces: Sequence[str], form: Format, *, yes: bool, dry_run: bool) -> int:
    """`qbsync tokens purge`; returns the exit code."""

    async def work(desk: Desk, _: str) -> int:
        orphans = await find_orphans(desk, namespaces)
        if not orphans or dry_run:
            _show_orphans(orphans, {}, form)
            return output.OK
        if not yes:
            if form is Format.JSON or not sys.stdin.isatty():
                _show_orphans(orphans, {}, form)
                output.complain("nothing was deleted: say --yes")
                return output.FAILED
            _show_orphans(orphans, {}, form)
            if not _confirmed(len(orphans)):
                return output.OK
        fates = {orphan.where: await purge(desk, orphan) for orphan in orphans}
        _show_orphans(orphans, fates, form)
        kept = any(fate in (Fate.BUSY, Fate.IN_USE) for fate in fates.values())
        return output.FINDINGS if kept else output.OK

    return session.run(work)


def _confirmed(count: int) -> bool:
    return typer.confirm(
        f"Delete {count} stored grant{'s' if count > 1 else ''}? A connection that comes back (GitOps, a "
        "restore) finds nothing then; Intuit is not told",
        err=True,
    )


def _show_orphans(orphans: Sequence[Orphan], fates: Mapping[str, Fate], form: Format) -> None:
    rows = [
        {
            "secret": orphan.where,
            "connection": orphan.connection,
            "realm": orphan.realm,
            "environment": orphan.environment,
            "outcome": str(fates.get(orphan.where, "")),
        }
        for orphan in orphans
    ]
    if form is Format.JSON:
        output.document({"secrets": rows})
    elif rows:
        output.table(
            ("SECRET", "CONNECTION", "REALM", "ENVIRONMENT", "OUTCOME"), [tuple(row.values()) for row in rows]
        )
    else:
        output.say("every stored grant has its connection")
