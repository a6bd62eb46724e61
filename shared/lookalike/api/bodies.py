"""Request bodies: media type, then size, then form, each refused with its own status.

Read here rather than by FastAPI, so that a body is refused before all of it is in memory, after the key was
checked, and with one strictness for JSON: no unknown field, no "5" for 5, no NaN.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import from_json
from starlette.requests import ClientDisconnect, Request

from lookalike.errors import BodyTooLarge, InvalidInput, UnsupportedContentType

JSON_TYPE = "application/json"
FORM_TYPE = "multipart/form-data"
MAX_JSON_BYTES = 1024 * 1024
MAX_FORM_FIELDS = 32

T = TypeVar("T")
Hold = Callable[[int], None]


def require_type(request: Request, *accepted: str) -> str:
    """The media type of the body, when it is one of `accepted`. Raises UnsupportedContentType."""
    given = request.headers.get("content-type", "")
    media_type = given.partition(";")[0].strip().lower()
    if media_type not in accepted:
        raise UnsupportedContentType(
            "the body has a content type that this does not take",
            got=repr(given[:200]),
            expected=" or ".join(accepted),
        )
    return media_type


async def stream_body(request: Request, max_bytes: int) -> AsyncGenerator[bytes]:
    """The body in chunks.

    Raises:
        BodyTooLarge: as soon as it is known: from the announced length, else when too much has come.
        InvalidInput: the client went away, or announced nonsense.
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


async def read_body(request: Request, max_bytes: int, hold: Hold | None = None) -> bytes:
    """The whole body; `hold` is told of every chunk, and may refuse it. Raises as `stream_body`."""
    chunks = []
    async for chunk in stream_body(request, max_bytes):
        if hold is not None:
            hold(len(chunk))
        chunks.append(chunk)
    return b"".join(chunks)


async def read_json(request: Request, type_: type[T] | TypeAdapter[T]) -> T:
    """A JSON body of at most `MAX_JSON_BYTES`, as a model, or as what a type adapter makes.

    Raises:
        UnsupportedContentType: it is not called JSON.
        BodyTooLarge: see `stream_body`.
        InvalidInput: it is not JSON.
        RequestValidationError: it has the wrong form.
    """
    require_type(request, JSON_TYPE)
    return parse_json(await read_body(request, MAX_JSON_BYTES), type_)


def parse_json(data: bytes, type_: type[T] | TypeAdapter[T]) -> T:
    """`data` as `type_`, strictly. Raises as `read_json`."""
    adapter = type_ if isinstance(type_, TypeAdapter) else TypeAdapter(type_)
    return validate(json_value(data, "the body"), adapter, strict=True)


def json_value(data: bytes | str, noun: str) -> Any:
    """The JSON value that `data` spells; NaN and lone surrogates are none. Raises InvalidInput."""
    try:
        return from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidInput(f"{noun} is not JSON: {error}") from error


def validate(value: object, adapter: TypeAdapter[T], *, strict: bool) -> T:
    """`value` checked against a schema. Raises RequestValidationError."""
    try:
        return adapter.validate_python(value, strict=strict)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError(
            [{**entry, "loc": ("body", *entry["loc"])} for entry in found]
        ) from error


async def read_form(
    request: Request, model: type[BaseModel], *, file_field: str, max_bytes: int, hold: Hold
) -> tuple[dict[str, Any], bytes | None]:
    """A multipart form: its text fields, and the bytes of the file in `file_field` if there is one.

    Texts of fields that hold lists or objects are read as JSON.

    Raises:
        BodyTooLarge: see `stream_body`.
        InvalidInput: it is not a form, has too many fields, the same twice, or a file elsewhere.
    """
    from starlette.datastructures import FormData, UploadFile
    from starlette.formparsers import MultiPartException, MultiPartParser

    async def counted() -> AsyncGenerator[bytes]:
        async for chunk in stream_body(request, max_bytes):
            hold(len(chunk))
            yield chunk

    parser = MultiPartParser(
        request.headers, counted(), max_files=1, max_fields=MAX_FORM_FIELDS, max_part_size=max_bytes
    )
    try:
        form: FormData = await parser.parse()
    except (MultiPartException, KeyError, UnicodeError, LookupError) as error:
        # KeyError: no boundary in the content type. Lookup and Unicode: a charset that is none.
        message = error.message if isinstance(error, MultiPartException) else "its header is damaged"
        raise InvalidInput(f"the body is not a form: {message}") from error
    try:
        fields: dict[str, Any] = {}
        data: bytes | None = None
        for name, value in form.multi_items():
            if name in fields or (name == file_field and data is not None):
                raise InvalidInput("the form has a field twice", got=repr(name[:100]))
            if isinstance(value, UploadFile):
                if name != file_field:
                    raise InvalidInput(
                        "a file is in the wrong field", got=repr(name[:100]), expected=file_field
                    )
                data = await value.read()
            else:
                fields[name] = value
        return _parse_nested(fields, model), data
    finally:
        await form.close()


def _parse_nested(fields: Mapping[str, str], model: type[BaseModel]) -> dict[str, Any]:
    nested = {name for name in fields if name in model.model_fields and name in {"filter", "query"}}
    return {
        name: json_value(text, f"the field {name}") if name in nested else text
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
