"""What a network is: the declaration, its document, its checks and its shapes.

Nothing here knows JAX or any kind: kinds register themselves in three tables.
"""

from capsjax.graph.block import Block as Block
from capsjax.graph.block import block as block
from capsjax.graph.block import each as each
from capsjax.graph.declaration import Bias as Bias
from capsjax.graph.declaration import Capsule as Capsule
from capsjax.graph.declaration import Edge as Edge
from capsjax.graph.declaration import Graph as Graph
from capsjax.graph.declaration import Incoming as Incoming
from capsjax.graph.declaration import Input as Input
from capsjax.graph.declaration import Node as Node
from capsjax.graph.declaration import Use as Use
from capsjax.graph.declaration import capsule as capsule
from capsjax.graph.declaration import edge as edge
from capsjax.graph.declaration import input as input
from capsjax.graph.declaration import learned as learned
from capsjax.graph.declaration import share as share
from capsjax.graph.declaration import with_backward as with_backward
from capsjax.graph.document import canonical as canonical
from capsjax.graph.document import from_document as from_document
from capsjax.graph.document import graph as graph
from capsjax.graph.document import to_document as to_document
from capsjax.graph.errors import GraphError as GraphError
from capsjax.graph.errors import Problem as Problem
from capsjax.graph.errors import ShapeError as ShapeError
from capsjax.graph.schema import json_schema as json_schema
from capsjax.graph.settings import with_settings as with_settings
from capsjax.graph.storage import content_hash as content_hash
from capsjax.graph.storage import load as load
from capsjax.graph.storage import parse as parse
from capsjax.graph.storage import save as save
