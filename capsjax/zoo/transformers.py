"""Transformers: ViT-B/16 and GPT-2. Attention needs no new concept.

Query, key and value are products with matrices; `place` edges put them into slots of
one U, over which the capsule function attends. All other parts are as everywhere:
residual connections are identity edges, positions are a bias of U's full shape, the
class token is a learned input, and GPT-2's output reads the table of words.
"""

import capsjax as cj
from capsjax.graph import Graph
from capsjax.zoo.registry import network


@cj.block
def transformer(x, *, width, hidden, norm, attention, activation, drop="identity"):
    """A layer of a transformer that normalizes before attention and before the MLP.

    x' = x + projection(attention(norm1(x)))        y = x' + output(hidden(norm2(x')))
    """
    normalized = cj.capsule("normalized1", cj.identity(x), cap=norm, bias=None)
    norm1 = cj.capsule("norm1", cj.channel_scale(normalized))
    query = cj.capsule("query", cj.matmul(norm1, width))
    key = cj.capsule("key", cj.matmul(norm1, width))
    value = cj.capsule("value", cj.matmul(norm1, width))
    three = (cj.place(each, axis=0) for each in (query, key, value))
    slots = cj.reshape(cj.capsule("slots", *three, bias=None), (3, -1, width))
    heads = cj.capsule("attention", slots, cap=attention, bias=None)
    mixed = cj.capsule("projection", cj.matmul(heads, width), cap=drop)
    sum1 = cj.capsule("sum1", cj.identity(x), cj.identity(mixed), bias=None)

    normalized = cj.capsule("normalized2", cj.identity(sum1), cap=norm, bias=None)
    norm2 = cj.capsule("norm2", cj.channel_scale(normalized))
    wide = cj.capsule("hidden", cj.matmul(norm2, hidden), cap=activation)
    output = cj.capsule("output", cj.matmul(wide, width), cap=drop)
    return cj.capsule("sum2", cj.identity(sum1), cj.identity(output), bias=None)


@network("vit-b-16")
def vit_b_16(
    *,
    shape: tuple[int, int, int] = (224, 224, 3),
    patch: int = 16,
    width: int = 768,
    hidden: int = 3072,
    layers: int = 12,
    heads: int = 12,
    classes: int = 1000,
) -> Graph:
    """The Vision Transformer ViT-B/16: 86,567,656 parameters.

    Args:
        shape: Shape of an image: height, width, channels.
        patch: Side of a patch in pixels.
        width: Numbers in a token.
        hidden: Neurons of the MLP of each layer.
        layers: Number of layers.
        heads: Heads of the attention.
        classes: Number of classes.

    Returns:
        The graph: input "image", output "class" (classes,).

    Example:
        >>> import capsjax as cj
        >>> net = cj.compile(cj.zoo.graph("vit-b-16"))
        >>> net.parameter_count, net.shapes["tokens"].output
        (86567656, (197, 768))

    Source: Dosovitskiy et al., An image is worth 16x16 words, arXiv 2010.11929.
    """
    norm = cj.caps.layer_norm(epsilon=1e-6)
    image, token = cj.input("image", shape), cj.learned("class-token", (1, width))
    cut = cj.conv(image, width, (patch, patch), stride=(patch, patch))
    rows = cj.reshape(cj.capsule("patches", cut), (-1, width))
    rows = cj.capsule("rows", rows, bias=None)
    both = cj.place(token, axis=0), cj.place(rows, axis=0)
    tokens = transformer(
        "block",
        cj.capsule("tokens", *both, bias="full"),
        repeat=layers,
        width=width,
        hidden=hidden,
        norm=norm,
        attention=cj.caps.attention(heads),
        activation="gelu",
    )
    first = cj.capsule("first", cj.cut(tokens, 0, 1, axis=0), bias=None)
    vector = cj.reshape(first, (width,))
    normalized = cj.capsule("normalized", vector, cap=norm, bias=None)
    read = cj.capsule("norm", cj.channel_scale(normalized))
    output = cj.capsule("class", cj.matmul(read, classes), cap="softmax")
    return cj.graph(output, name="vit-b-16", losses={"class": "cross_entropy"})


@network("gpt-2")
def gpt_2(
    *,
    vocabulary: int = 50257,
    length: int = 1024,
    width: int = 768,
    layers: int = 12,
    heads: int = 12,
    dropout: float = 0.0,
) -> Graph:
    """GPT-2 in its smallest size: 124,439,808 parameters.

    The output reads the same table as the input: the two edges name one weight,
    "words". The loss is the mean of the cross-entropy over positions.

    Args:
        vocabulary: Number of tokens.
        length: Tokens of a text. Each position has its own bias; a text is as long as
            the graph is declared for.
        width: Numbers in a token's vector; the MLPs have four times as many neurons.
        layers: Number of layers.
        heads: Heads of the attention.
        dropout: Rate of dropout after the embedding and in each residual branch; 0.1
            in the published training. Attention itself drops nothing.

    Returns:
        The graph: input "tokens" (length,) of integers, output "next" (length,
        vocabulary), for each position the probabilities of the token after it.

    Example:
        >>> import capsjax as cj
        >>> net = cj.compile(cj.zoo.graph("gpt-2"))
        >>> net.parameter_count, net.shapes["next"].output
        (124439808, (1024, 50257))

    Source: Radford et al., Language models are unsupervised multitask learners, 2019,
        section 2.3.
    """
    norm = cj.caps.layer_norm(epsilon=1e-5)
    drop = cj.caps.dropout(dropout) if dropout else "identity"
    tokens = cj.input("tokens", (length,), dtype="integer")
    words = cj.share(cj.embed(tokens, vocabulary, width), "words")
    text = transformer(
        "block",
        cj.capsule("embedding", words, cap=drop, bias="full"),
        repeat=layers,
        width=width,
        hidden=4 * width,
        norm=norm,
        attention=cj.caps.attention(heads, causal=True),
        activation=cj.caps.gelu(approximate=True),
        drop=drop,
    )
    normalized = cj.capsule("normalized", cj.identity(text), cap=norm, bias=None)
    read = cj.capsule("norm", cj.channel_scale(normalized))
    table = cj.share(cj.matmul(read, vocabulary, transposed=True), "words")
    output = cj.capsule("next", table, cap="softmax", bias=None)
    return cj.graph(output, name="gpt-2", losses={"next": "cross_entropy"})
