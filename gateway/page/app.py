"""The page as an ASGI app of Gradio's, set up to report nothing, fetch nothing and keep nothing."""

import os
from typing import cast

# Before gradio is imported, which would report that to its makers.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr
from fastapi import FastAPI
from gradio.routes import App
from gradio.state_holder import SessionState, StateHolder
from starlette.types import ASGIApp

from gateway.context import Gateway
from gateway.page.layout import CSS, layout


class _Stateless(StateHolder):
    """What Gradio knows of a visitor: nothing. It would keep everybody's last picture and answers in memory."""

    def __getitem__(self, session_id: str) -> SessionState:
        return SessionState(self.blocks)


def build(gateway: Gateway) -> ASGIApp:
    """The page, for those who have signed in."""
    blocks = layout(gateway)
    outer = gr.mount_gradio_app(
        FastAPI(openapi_url=None),
        blocks,
        "/",
        # The fonts of the system: Gradio's own would come from elsewhere.
        theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        css_paths=[CSS],
        footer_links=[],
        run_history=False,  # it would keep pictures in the browser
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        show_error=False,
    )
    [app] = [mounted for route in outer.routes if isinstance(mounted := getattr(route, "app", None), App)]
    app.state_holder = _Stateless()  # type: ignore[no-untyped-call]
    app.state_holder.set_blocks(blocks)
    return cast(ASGIApp, outer)
