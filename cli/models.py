"""``likeness models``: look at, take over and list other people's morphable models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.terminal import EXIT_INPUT, JsonOption, long_command, print_json

if TYPE_CHECKING:
    from faces.adapters.formats import Report

FileArgument = Annotated[
    Path, typer.Argument(help="A model file, or the FaceXModel folder of ICT-FaceKit.", metavar="FILE")
]
ExpressionsOption = Annotated[
    Path | None,
    typer.Option(help="Expressions of BFM 2009: Exp_Pca.bin, Model_Expression.mat or w_exp_sim.npy."),
]

models = typer.Typer(
    name="models", help="Other people's morphable models: check, import, list.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add the group of commands to the ``likeness`` application."""
    app.add_typer(models)


@models.command("check")
def check(file: FileArgument, expressions: ExpressionsOption = None, as_json: JsonOption = False) -> None:
    """Say what FILE is and whether it loads. No code in it is ever run.

    The exit code is 0 when it loads and 3 when it does not.
    """
    with long_command(as_json=as_json, inputs=[file, expressions]):
        from faces.adapters.formats import report

        found = report(file, expressions)
    if as_json:
        print_json(found.as_dict())
    else:
        _show(Console(highlight=False, soft_wrap=True), found)
    if not found.loads:
        raise typer.Exit(EXIT_INPUT)


@models.command("import")
def import_model(
    file: FileArgument,
    expressions: ExpressionsOption = None,
    name: Annotated[
        str | None,
        typer.Option(help="The name to use it by (default: the format's).", show_default=False),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace an installed model of this name.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Convert FILE once into a model that ``likeness personalize --model NAME`` uses.

    The result stays on this machine; a person file names the model and does not contain it.
    """
    with long_command(as_json=as_json, inputs=[file, expressions]):
        from faces.adapters.formats import read
        from faces.registry import check_name, install_model, require_free
        from fitting.embed import embed

        if name is not None:
            require_free(check_name(name), replace=replace)
        foreign = read(file, expressions)
        chosen = name or foreign.format
        require_free(chosen, replace=replace)
        made = embed(foreign, chosen)
        path = install_model(made.model, foreign.licence, replace=replace)
    facts: dict[str, Any] = {
        "name": chosen,
        "path": str(path),
        "bytes": path.stat().st_size,
        "format": foreign.format,
        "vertices": made.model.vertex_count,
        "identity_components": made.model.identity_basis.shape[-1],
        "expressions": len(made.model.expression_names),
        "own_expressions": list(made.own_expressions),
        "added_parts": list(made.added),
        "surface_distance_mm": round(made.registration.error, 3),
        "face_detected": made.registration.detected,
    }
    if as_json:
        print_json(facts)
        return
    print(f"{chosen}: {facts['vertices']} vertices, {facts['identity_components']} identity components")
    print(f"  of {facts['expressions']} expressions, {len(made.own_expressions)} are the model's own")
    if made.added:
        print(f"  {', '.join(made.added)}: from the shipped head")
    print(f"  {path}")
    print(f"Next: likeness personalize CLIP --model {chosen} -o PERSON")


@models.command("list")
def list_models(as_json: JsonOption = False) -> None:
    """List the models that can be used by name."""
    with long_command(as_json=as_json):
        from faces.registry import installed_models

        found = installed_models()
    if as_json:
        print_json({"models": [{"name": name, "path": str(path)} for name, path in found.items()]})
        return
    for name, path in found.items():
        print(f"{name:<24} {path}")


def _show(console: Console, report: Report) -> None:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim")
    table.add_column()
    rows = [("format", f"{report.title}{f', {report.version}' if report.version else ''}")]
    if report.loads:
        rows += [
            ("mesh", f"{report.vertices} vertices, {report.triangles} triangles"),
            (
                "components",
                f"{report.identity_components} identity, {report.expression_components} expression",
            ),
        ]
        rows += [("" if n else "lacks", lack) for n, lack in enumerate(report.missing)]
        rows += [("licence", report.licence)] if report.licence else []
    for label, value in rows:
        table.add_row(label, escape(value))
    console.print(f"[bold]{escape(report.file)}[/]")
    console.print(table)
    if report.loads:
        console.print("verdict: [bold green]loads[/]")
    else:
        console.print(f"[bold red]error[/]   {escape(report.problem)}")
        console.print(f"        {escape(report.remedy)}", style="dim")
        console.print("verdict: [bold red]does not load[/]")
