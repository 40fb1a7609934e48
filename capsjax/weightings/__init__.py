"""The table of weighting operations, `W (x) Y`: one kind or family a file."""

from capsjax.weightings.base import Weighting as Weighting
from capsjax.weightings.base import register_weighting as register_weighting
from capsjax.weightings.convolution import Conv as Conv
from capsjax.weightings.convolution import conv as conv
from capsjax.weightings.elementwise import ChannelScale as ChannelScale
from capsjax.weightings.elementwise import Identity as Identity
from capsjax.weightings.elementwise import Scale as Scale
from capsjax.weightings.elementwise import channel_scale as channel_scale
from capsjax.weightings.elementwise import identity as identity
from capsjax.weightings.elementwise import scale as scale
from capsjax.weightings.products import Dot as Dot
from capsjax.weightings.products import Matmul as Matmul
from capsjax.weightings.products import Vote as Vote
from capsjax.weightings.products import dot as dot
from capsjax.weightings.products import matmul as matmul
from capsjax.weightings.products import vote as vote
from capsjax.weightings.structure import Place as Place
from capsjax.weightings.structure import Reshape as Reshape
from capsjax.weightings.structure import Transpose as Transpose
from capsjax.weightings.structure import place as place
from capsjax.weightings.structure import reshape as reshape
from capsjax.weightings.structure import transpose as transpose
