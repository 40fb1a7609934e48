"""Scenes: drawings as plain data, which every painter paints."""

from capsjax.view.scene.data import Box, Line, Row, Scene, Text
from capsjax.view.scene.of_graph import Direction, scene_of

__all__ = ["Box", "Direction", "Line", "Row", "Scene", "Text", "scene_of"]
