"""Request bodies. Media type, size and form are checked in this order, each with its own status.

FastAPI does not read them, for three reasons: a body that is too large is rejected before all of it is in
memory, it is read only after the API key was checked, and JSON is strict: no unknown field, no "5" for 5,
no NaN.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from functools import cache
from typing import Any, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import from_json
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from lookalike.errors import BodyTooLarge, InvalidInput, UnsupportedContentType

JSON_TYPE = "application/json"
FORM_TYPE = "multipart/form-data"
MAX_JSON_BYTES = 1024 * 1024
MAX_FORM_FIELDS = 32
OVERHEAD_BYTES = 64 * 1024
"""Allowance for what surrounds a file in a body: other fields and boundaries."""
INLINE_JSON_BYTES = 512 * 1024
"""JSON up to this size is parsed faster than a thread starts."""

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
Reserve = Callable[[int], None]


async def stream_body(request: Request, max_bytes: int) -> AsyncGenerator[bytes]:
    """The body in chunks.

    Raises:
        BodyTooLarge: as early as possible: by the announced length, else when too many bytes have arrived.
        InvalidInput: the client disconnected, or the announced length is not a number.
    """
    _check_announced(request, max_bytes)
    count = 0
    try:
        async for chunk in request.stream():
            count += len(chunk)
            if count > max_bytes:
                raise _too_large(f"more than {max_bytes} bytes", max_bytes)
            yield chunk
    except ClientDisconnect as error:
        raise InvalidInput("the connection ended before the body did") from error


async def read_json(request: Request, type_: type[T] | TypeAdapter[T]) -> T:
    """A JSON body of at most `MAX_JSON_BYTES`, as a model or as the type of an adapter.

    Raises:
        UnsupportedContentType: the content type is not JSON.
        BodyTooLarge: see `stream_body`.
        InvalidInput: it is not JSON.
        RequestValidationError: it does not match the schema.
    """
    _require_type(request, JSON_TYPE)
    body = b"".join([chunk async for chunk in stream_body(request, MAX_JSON_BYTES)])
    return _parse_json(body, type_)


async def read_json_or_form(
    request: Request,
    json_model: type[M],
    form_model: type[M],
    *,
    file_field: str,
    json_fields: frozenset[str],
    max_file_bytes: int,
    reserve: Reserve,
) -> M:
    """A body that is either JSON with a file in base64, or a multipart form with the plain file.

    Args:
        request: the request.
        json_model: the schema of JSON bodies.
        form_model: the schema of forms.
        file_field: the one field that may be a file.
        json_fields: form fields whose text is JSON.
        max_file_bytes: size limit of the file.
        reserve: receives the size of each chunk, and may reject it.

    Raises:
        BodyTooLarge, InvalidInput, RequestValidationError, UnsupportedContentType: see `read_json`.
    """
    if _require_type(request, JSON_TYPE, FORM_TYPE) == FORM_TYPE:
        chunks = _reserved(request, max_file_bytes + OVERHEAD_BYTES, reserve)
        fields = await _read_form(request, chunks, file_field, max_file_bytes + OVERHEAD_BYTES)
        return validate(_with_json_fields(fields, json_fields), form_model, strict=False)
    # Base64 makes four characters of three bytes.
    max_bytes = max_file_bytes * 4 // 3 + OVERHEAD_BYTES
    data = b"".join([chunk async for chunk in _reserved(request, max_bytes, reserve)])
    if len(data) <= INLINE_JSON_BYTES:
        return _parse_json(data, json_model)
    # In a thread, because parsing many megabytes would block all other requests.
    return await run_in_threadpool(_parse_json, data, json_model)


def json_value(data: bytes | str, noun: str) -> Any:
    """The JSON value of `data`, without NaN and lone surrogates. Raises InvalidInput."""
    try:
        return from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidInput(f"{noun} is not JSON: {error}") from error


def validate(value: object, type_: type[T] | TypeAdapter[T], *, strict: bool) -> T:
    """`value` checked against a schema. Raises RequestValidationError."""
    adapter: TypeAdapter[T] = type_ if isinstance(type_, TypeAdapter) else _adapter(type_)  # type: ignore[arg-type]
    try:
        return adapter.validate_python(value, strict=strict)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError(
            [{**entry, "loc": ("body", *entry["loc"])} for entry in found]
        ) from error


@cache
def _adapter(type_: Any) -> TypeAdapter[Any]:
    return TypeAdapter(type_)


def _parse_json(data: bytes, type_: type[T] | TypeAdapter[T]) -> T:
    return validate(json_value(data, "the body"), type_, strict=True)


def _require_type(request: Request, *accepted: str) -> str:
    given = request.headers.get("content-type", "")
    media_type = given.partition(";")[0].strip().lower()
    if media_type not in accepted:
        raise UnsupportedContentType(
            "this operation does not accept the body's content type",
            got=repr(given[:200]),
            expected=" or ".join(accepted),
        )
    return media_type


async def _reserved(request: Request, max_bytes: int, reserve: Reserve) -> AsyncGenerator[bytes]:
    async for chunk in stream_body(request, max_bytes):
        reserve(len(chunk))
        yield chunk


async def _read_form(
    request: Request, chunks: AsyncGenerator[bytes], file_field: str, max_bytes: int
) -> dict[str, str | bytes]:
    """The fields of a multipart form: texts, and the bytes of the file if there is one."""
    from starlette.formparsers import MultiPartException, MultiPartParser

    parser = MultiPartParser(
        request.headers, chunks, max_files=1, max_fields=MAX_FORM_FIELDS, max_part_size=max_bytes
    )
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, UnicodeError, LookupError) as error:
        # KeyError: no boundary in the content type. LookupError and UnicodeError: an unknown charset.
        message = error.message if isinstance(error, MultiPartException) else "its header is damaged"
        raise InvalidInput(f"the body is not a form: {message}") from error
    try:
        fields: dict[str, str | bytes] = {}
        for name, value in form.multi_items():
            if name in fields:
                raise InvalidInput("the form has a field twice", got=repr(name[:100]))
            if isinstance(value, str):
                fields[name] = value
            elif name == file_field:
                fields[name] = await value.read()
            else:
                raise InvalidInput("a file is in the wrong field", got=repr(name[:100]), expected=file_field)
        return fields
    finally:
        await form.close()


def _with_json_fields(fields: Mapping[str, str | bytes], json_fields: frozenset[str]) -> dict[str, Any]:
    return {
        name: json_value(text, f"the field {name}") if name in json_fields else text
        for name, text in fields.items()
    }


def _check_announced(request: Request, max_bytes: int) -> None:
    announced = request.headers.get("content-length")
    if announced is None:
        return
    if not announced.isascii() or not announced.isdigit():
        raise InvalidInput("the Content-Length is not a number", got=repr(announced[:100]))
    if int(announced) > max_bytes:
        raise _too_large(f"{announced} bytes", max_bytes)


def _too_large(got: str, max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge("the body is too large", got=got, expected=f"at most {max_bytes} bytes")
