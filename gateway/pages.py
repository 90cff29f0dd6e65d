"""Files that a browser may have without a key: the description of the calls, from this machine alone."""

from fastapi import APIRouter, FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles
from swagger_ui_bundle import swagger_ui_path

router = APIRouter(include_in_schema=False)
ASSETS = "/docs/assets"
NO_ICON = "data:,"


@router.get("/docs")
async def docs() -> HTMLResponse:
    """The calls, to read and to try."""
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="Lesion Zoo",
        swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{ASSETS}/swagger-ui.css",
        swagger_favicon_url=NO_ICON,
    )


def mount(app: FastAPI) -> None:
    """Add them to an app."""
    app.include_router(router)
    app.mount(ASSETS, StaticFiles(directory=swagger_ui_path))
