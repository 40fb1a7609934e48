"""What other implementations call the capsules of known networks.

Tables as `cj.from_torch` and `cj.from_keras` take them.
"""

_IN_PROJECTION = {
    f"block{{i}}/{part}:{ours}": "encoder.layers.encoder_layer_{i-1}.self_attention."
    f"in_proj_{theirs}[{number}/3]"
    for number, part in enumerate(("query", "key", "value"), 1)
    for ours, theirs in (("W:norm1", "weight"), ("B", "bias"))
}

_NAMES: dict[tuple[str, str], dict[str, str]] = {
    ("torchvision", "vit-b-16"): _IN_PROJECTION
    | {
        "class-token:B": "class_token",
        "tokens:B": "encoder.pos_embedding",
        "patches": "conv_proj",
        "block{i}/norm{k}": "encoder.layers.encoder_layer_{i-1}.ln_{k}",
        "block{i}/projection": "encoder.layers.encoder_layer_{i-1}."
        "self_attention.out_proj",
        "block{i}/hidden": "encoder.layers.encoder_layer_{i-1}.mlp.0",
        "block{i}/output": "encoder.layers.encoder_layer_{i-1}.mlp.3",
        "norm": "encoder.ln",
        "class": "heads.head",
    },
    ("transformers", "gpt-2"): {
        "words": "transformer.wte",
        "embedding:B": "transformer.wpe.weight",
        "block{i}/norm{k}": "transformer.h.{i-1}.ln_{k}",
        "block{i}/query": "transformer.h.{i-1}.attn.c_attn.T[1/3]",
        "block{i}/key": "transformer.h.{i-1}.attn.c_attn.T[2/3]",
        "block{i}/value": "transformer.h.{i-1}.attn.c_attn.T[3/3]",
        "block{i}/projection": "transformer.h.{i-1}.attn.c_proj.T",
        "block{i}/hidden": "transformer.h.{i-1}.mlp.c_fc.T",
        "block{i}/output": "transformer.h.{i-1}.mlp.c_proj.T",
        "norm": "transformer.ln_f",
    },
}


def names_in(library: str, network: str) -> dict[str, str]:
    """What a library calls the capsules of a known network.

    Args:
        library: "torchvision" or "transformers".
        network: One of `cj.zoo.names()`.

    Returns:
        The table that `cj.from_torch` and `cj.from_keras` take.

    Raises:
        ValueError: There is no such table; says which there are.

    Example:
        >>> names_in("torchvision", "vit-b-16")["patches"]
        'conv_proj'
    """
    if (library, network) not in _NAMES:
        known = ", ".join(f"{n} of {of}" for of, n in _NAMES)
        raise ValueError(
            f"no names of {network!r} in {library!r}; known: {known}; cure: a table "
            "of your own, as cj.from_torch describes it"
        )
    return dict(_NAMES[library, network])
