"""The JavaScript libraries inside the page, taken from their wheels."""

import base64
from importlib import metadata, resources

import altair as alt
import vl_convert

CREDITS = (
    "Charts: Vega {vega}, Vega-Lite and Vega-Embed (BSD-3-Clause, University of Washington Interactive Data Lab and "
    "contributors), bundled by vl-convert {vl_convert}. Tables: DataTables (MIT, SpryMedia Ltd) and jQuery (MIT, "
    "OpenJS Foundation), bundled by itables {itables}."
)


def chart_script() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, which defines the global ``vegaEmbed``."""
    # The version for which altair writes specifications.
    version = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    return _inside_a_script(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=version))


def table_module() -> str:
    """DataTables as the data URL of a module."""
    script = resources.files("itables").joinpath("html", "dt_bundle.js").read_bytes()
    return "data:text/javascript;base64," + base64.b64encode(script).decode()


def credits() -> str:
    """Names, versions, authors and licences of these libraries."""
    versions = {name: metadata.version(name) for name in ("itables", "vl-convert-python")}
    return CREDITS.format(
        vega=vl_convert.get_vega_version(), vl_convert=versions["vl-convert-python"], itables=versions["itables"]
    )


def _inside_a_script(code: str) -> str:
    """Code with escaped tags, so that it does not end its script element; strings and patterns keep their meaning."""
    return code.replace("</script", r"<\/script").replace("<!--", r"<\!--")
