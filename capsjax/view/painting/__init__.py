"""Painters: what makes SVG, PNG, PDF and TikZ of a scene, and its themes."""

from capsjax.view.painting.drawing import Drawing
from capsjax.view.painting.svg import svg_of
from capsjax.view.painting.themes import DARK, LIGHT, PAGE, Theme, ThemeName, variables

__all__ = [
    "DARK",
    "LIGHT",
    "PAGE",
    "Drawing",
    "Theme",
    "ThemeName",
    "svg_of",
    "variables",
]
