"""Computational graphs: recorded, laid out, drawn as SVG or for Graphviz, and walked through with gradients."""

from dlcourse.graphs.build import graph, record
from dlcourse.graphs.graph import Graph

__all__ = ["Graph", "graph", "record"]
