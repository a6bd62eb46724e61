"""`lookalike collections …`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lookalike.cli.options import ForceOption, JsonOption, StoreOption, answer
from lookalike.errors import InvalidInput
from lookalike.types import Engine, Metric

app = typer.Typer(help="Sets of images, each with its own encoder and index.")

Name = Annotated[str, typer.Argument(help="The collection.")]
EncoderOption = Annotated[str | None, typer.Option(help="Id or name of an encoder in the store.")]
EngineOption = Annotated[Engine | None, typer.Option(help="How snapshots search.  [default: annoy]")]
TreesOption = Annotated[int | None, typer.Option(min=1, help="Annoy's trees.  [default: measured]")]
SearchKOption = Annotated[int | None, typer.Option(min=1, help="Nodes Annoy inspects.  [default: measured]")]
RecallOption = Annotated[
    float | None,
    typer.Option(min=0.01, max=1.0, help="Recall that measured parameters must reach.  [default: 0.95]"),
]
DimensionsOption = Annotated[
    int | None,
    typer.Option(min=0, help="Numbers per item in the index; 0: the encoder's.  [default: measured, ≤ 256]"),
]


@app.callback(invoke_without_command=True)
def default(context: typer.Context, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List the collections when no command follows."""
    if context.invoked_subcommand is None:
        list_all(store, as_json)
    elif (source := context.get_parameter_source("store")) and source.name == "COMMANDLINE":
        raise typer.BadParameter(f"put --store after {context.invoked_subcommand}")


@app.command("list")
def list_all(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List the collections."""
    from lookalike.cli.console import Console
    from lookalike.library import Library

    configs, unreadable = Library.open(store).collections.all()
    console = Console(as_json=as_json)
    damaged = [{"name": name, "problem": str(error)} for name, error in unreadable.items()]
    console.document({"collections": [config.to_json() for config in configs], "damaged": damaged})
    console.table(
        {"collection": "left", "encoder": "left", "metric": "left", "engine": "left", "created": "left"},
        [(c.name, c.encoder_id, c.metric, c.engine, c.created_at) for c in configs],
    )
    for each in damaged:
        console.say(f"{each['name']} is damaged: {each['problem']}")


@app.command("show")
def show(name: Name, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Show a collection's encoder, metric and engine."""
    from lookalike.library import Library

    _print(Library.open(store).collections.get(name).to_json(), as_json)


@app.command("create")
def create(
    name: Name,
    encoder: EncoderOption = None,
    metric: Annotated[Metric, typer.Option(help="How vectors are compared.")] = "cosine",
    engine: EngineOption = None,
    n_trees: TreesOption = None,
    search_k: SearchKOption = None,
    recall_target: RecallOption = None,
    dimensions: DimensionsOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create a collection. Without --encoder it uses the store's default encoder, built if there is none."""
    from lookalike.cli.console import Console
    from lookalike.library import Library

    options = _given(
        engine=engine,
        n_trees=n_trees,
        search_k=search_k,
        recall_target=recall_target,
        dimensions=dimensions,
    )
    made = Library.open(store).create_collection(
        name, encoder=encoder, metric=metric, progress=Console(as_json=as_json).note, **options
    )
    _print(made.config.to_json(), as_json)


@app.command("update")
def update(
    name: Name,
    encoder: EncoderOption = None,
    engine: EngineOption = None,
    n_trees: TreesOption = None,
    search_k: SearchKOption = None,
    recall_target: RecallOption = None,
    dimensions: DimensionsOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change options; they take effect with the next snapshot."""
    from lookalike.library import Library

    library = Library.open(store)
    changes = _given(
        engine=engine,
        n_trees=n_trees,
        search_k=search_k,
        recall_target=recall_target,
        dimensions=dimensions,
    )
    if encoder:
        changes["encoder_id"] = library.encoders.get(encoder).id
    if not changes:
        raise typer.BadParameter("name at least one option to change")
    _print(library.collections.update(name, **changes).to_json(), as_json)


@app.command("delete")
def delete(
    name: Name, yes: ForceOption = False, store: StoreOption = None, as_json: JsonOption = False
) -> None:
    """Delete a collection permanently: its images, metadata, trash, catalogue and snapshots."""
    from lookalike.cli.console import Console
    from lookalike.library import Library

    library = Library.open(store)
    library.collections.check_exists(name)
    question = f"This permanently deletes {name}: its images, metadata, trash and index. Type its name: "
    if not yes and answer(question) != name:
        raise InvalidInput("nothing was deleted", fix="Type the collection's name, or pass --yes.")
    library.delete_collection(name)
    console = Console(as_json=as_json)
    console.document({"deleted": name})
    console.say(f"Deleted {name}.")


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _print(fields: dict[str, Any], as_json: bool) -> None:
    from lookalike.cli.console import Console

    console = Console(as_json=as_json)
    console.document(fields)
    console.table({"": "left", "value": "left"}, list(fields.items()), title=str(fields["name"]))
