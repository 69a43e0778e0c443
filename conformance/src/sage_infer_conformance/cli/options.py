"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from sage_infer_contracts.testing import SubjectKind

kind_option = click.option(
    "--kind", type=click.Choice(get_args(SubjectKind)), help="What is judged, where the name does not tell."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
out_option = click.option(
    "--out",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write report.json, report.html, junit.xml, badge.json and the witnesses there.",
)
file_argument = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
device_option = click.option(
    "--device", metavar="NAME", help="Ask for this real device; absent is exit status 4."
)
settings_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="An option for the subject; may be repeated.",
)
deviations_option = click.option(
    "--deviations",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Waivers; by default the deviations.toml that the plugin ships.",
)
rules_option = click.option(
    "--rule", "rules", multiple=True, metavar="ID", help="Report this clause only; may be repeated."
)
