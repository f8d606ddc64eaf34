"""How the page looks: style.css, with the colours of `lab.palette` for light and dark, and light on paper."""

from importlib.resources import files

from lab.palette import COLOURS, dark, light
from lab.report.markup import Html


def sheet() -> Html:
    """The whole style sheet."""
    rules = (files("lab.report") / "style.css").read_text("utf-8")
    on_light = "".join(f"--{name}:{light(name)};" for name in COLOURS)
    on_dark = "".join(f"--{name}:{dark(name)};" for name in COLOURS)
    themes = f":root{{{on_light}}}@media screen and (prefers-color-scheme:dark){{:root{{{on_dark}}}}}"
    return Html(f"{themes}\n{rules}")
