"""What an application remembers from request to request, found by walking through what its views reach."""

import gc
from collections.abc import Iterable, Iterator
from functools import partial
from types import CellType, FunctionType, MethodType
from typing import Any, TypeVar

from flask import Flask

OURS = "pbxbill."
Kind = TypeVar("Kind")


class Memories:
    """What an application's views, and all that they hold, remembered when it was made: forget() goes back
    there. Objects of ours are walked through, their dictionaries, lists and sets, and what functions close
    over."""

    def __init__(self, app: Flask, *, strangers: Iterable[object], known: Iterable[object]) -> None:
        """strangers: what nothing may hold on to, but for those that are known."""
        self._strangers = {id(x): x for x in strangers}
        self._seen = {id(x): x for x in known}
        self._objects: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self._slots: list[tuple[object, str, object]] = []
        self._containers: list[tuple[Any, Any]] = []
        self._cells: list[tuple[CellType, object]] = []
        waiting: list[tuple[str, object]] = [(_name(x), x) for x in _roots(app)]
        while waiting:
            where, at = waiting.pop()
            assert id(at) not in self._strangers, f"{where} holds on to {at!r}"
            if id(at) not in self._seen:
                self._seen[id(at)] = at
                waiting += [(f"{where}.{name}", x) for name, x in self._held_by(at)]
        # All of it stays: no collection of garbage need look through it again.
        gc.collect()
        gc.freeze()

    def forget(self) -> None:
        """As if nobody had asked yet."""
        for kept, first in self._objects:
            kept.clear()
            kept.update(first)
        for at, name, value in self._slots:
            setattr(at, name, value)
        for cell, content in self._cells:
            cell.cell_contents = content
        for container, held in self._containers:
            if isinstance(container, list):
                container[:] = held
            else:
                container.clear()
                container.update(held)

    def each(self, kind: type[Kind]) -> list[Kind]:
        """All objects of a kind."""
        return [x for x in self._seen.values() if isinstance(x, kind)]

    def _held_by(self, at: object) -> Iterator[tuple[str, object]]:
        match at:
            case FunctionType():
                for name, cell in zip(at.__code__.co_freevars, at.__closure__ or (), strict=True):
                    content = _content(cell)
                    if content is not None and at.__module__.startswith(OURS):
                        self._cells.append((cell, content))
                    yield name, content
                yield "wrapped", getattr(at, "__wrapped__", None)
                yield "defaults", at.__defaults__
            case MethodType():
                yield "self", at.__self__
                yield "function", at.__func__
            case partial():
                yield "function", at.func
                yield "arguments", at.args
                yield "named", dict(at.keywords)
            case dict():
                self._containers.append((at, at.copy()))
                yield from ((str(key), x) for key, x in list(at.items()))
            case list() | set():
                self._containers.append((at, at.copy()))
                yield from (("item", x) for x in list(at))
            case tuple() | frozenset():
                yield from (("item", x) for x in at)
            case _ if type(at).__module__.startswith(OURS):
                yield from self._of_object(at)
            case _:
                return

    def _of_object(self, at: object) -> Iterator[tuple[str, object]]:
        kept = getattr(at, "__dict__", None)
        if isinstance(kept, dict):
            self._objects.append((kept, kept.copy()))
            yield from list(kept.items())
        told = getattr(type(at), "__dataclass_params__", None)
        is_frozen = told is not None and told.frozen
        for name in (x for kind in type(at).__mro__ for x in getattr(kind, "__slots__", ())):
            held = getattr(at, name, None)
            if not is_frozen and hasattr(at, name):
                self._slots.append((at, name, held))
            yield name, held


def _roots(app: Flask) -> Iterator[object]:
    yield from app.view_functions.values()
    for kind in (
        app.before_request_funcs,
        app.after_request_funcs,
        app.teardown_request_funcs,
        app.template_context_processors,
    ):
        yield from (view for views in kind.values() for view in views)
    for handlers in app.error_handler_spec.values():
        yield from (x for of_code in handlers.values() for x in of_code.values())
    yield from app.jinja_env.globals.values()
    yield from app.jinja_env.filters.values()
    yield from app.jinja_env.tests.values()
    yield from (x for name, x in app.extensions.items() if name.startswith("pbxbill_"))


def _name(view: object) -> str:
    return view.__qualname__ if isinstance(view, FunctionType | MethodType) else type(view).__qualname__


def _content(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # it is not filled
        return None
