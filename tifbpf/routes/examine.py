"""A host looked at as a whole: what `tifbpf doctor` reports, layout aside."""

from __future__ import annotations

import msgspec

from tifbpf.errors import ExitCode, NoRouteError, NoTypesError, TifbpfError
from tifbpf.host import bcc, headers, libbpf, privileges, tracers
from tifbpf.host.btf import KernelTypes
from tifbpf.host.collect import collect
from tifbpf.host.facts import KernelFacts
from tifbpf.host.tracers import Tracers
from tifbpf.routes.choose import Plan, choose
from tifbpf.routes.model import interest


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Something that recording needs or can do without."""

    there: bool
    text: str
    """Where or which it is; the line that says what to do, where it is wanting."""


class Obstacle(msgspec.Struct, frozen=True, kw_only=True):
    """Why nothing can be recorded."""

    exit_code: ExitCode
    text: str

    @classmethod
    def of(cls, error: TifbpfError) -> Obstacle:
        """Make one from the error that recording would end with."""
        return cls(exit_code=error.exit_code, text=str(error))


class Examination(msgspec.Struct, frozen=True, kw_only=True):
    """What was found."""

    facts: KernelFacts
    plan: Plan
    """What this tifbpf would do."""
    ideal: Plan
    """What it would do if it had a probe for every route."""
    bcc: Part
    libbpf: Part
    btf: Part
    headers: Part
    tracers: Tracers
    obstacles: tuple[Obstacle, ...]
    """In the order in which recording would meet them; () if something can be measured."""


def examine() -> Examination:
    """Look at this host. What cannot be seen is said, and nothing is left behind."""
    facts = collect(interest())
    plan = choose(facts)
    obstacles: list[Obstacle] = []
    if facts.privileges is not None:
        try:
            privileges.require(facts.privileges)
        except TifbpfError as error:
            obstacles.append(Obstacle.of(error))
    compiler = _bcc(obstacles)
    library = _libbpf(obstacles)
    types, own_headers = _btf(), _headers()
    # Without libbpf, that is the obstacle; BTF could not be looked at.
    if library.there and not types.there and not own_headers.there:
        obstacles.append(Obstacle(exit_code=NoTypesError.exit_code, text=types.text))
    try:
        plan.require()
    except NoRouteError as error:
        obstacles.append(Obstacle.of(error))
    return Examination(
        facts=facts,
        plan=plan,
        ideal=choose(facts, implemented_only=False),
        bcc=compiler,
        libbpf=library,
        btf=types,
        headers=own_headers,
        tracers=tracers.find(),
        obstacles=tuple(obstacles),
    )


def _bcc(obstacles: list[Obstacle]) -> Part:
    try:
        found = bcc.find()
    except TifbpfError as error:
        obstacles.append(Obstacle.of(error))
        return Part(there=False, text=str(error))
    return Part(there=True, text=f"{found.version or 'unknown version'}, {found.directory}")


def _libbpf(obstacles: list[Obstacle]) -> Part:
    try:
        library = libbpf.library()
    except TifbpfError as error:
        obstacles.append(Obstacle.of(error))
        return Part(there=False, text=str(error))
    return Part(there=True, text=str(library._name))


def _btf() -> Part:
    try:
        with KernelTypes() as types:
            members = types.struct_members("thread_info")
    except TifbpfError as error:
        return Part(there=False, text=str(error))
    if not members:
        return Part(there=False, text="the kernel's BTF has no struct thread_info: install the headers")
    listed = ", ".join(f"{name} {offset}" for name, offset in members.items())
    return Part(there=True, text=f"struct thread_info: {listed}")


def _headers() -> Part:
    if directory := headers.find():
        return Part(there=True, text=str(directory))
    if archive := headers.kheaders():
        return Part(there=True, text=str(archive))
    return Part(there=False, text="none of this very build; not needed where there is BTF")
