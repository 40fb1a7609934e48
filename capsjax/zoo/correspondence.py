"""What other implementations call the capsules of known networks.

Tables as `cj.from_torch` and `cj.from_keras` take them.
"""

import difflib

Table = dict[str, str]

_ALEXNET = {
    "conv1": "features.0",
    "conv2": "features.3",
    "conv3": "features.6",
    "conv4": "features.8",
    "conv5": "features.10",
    "fc6": "classifier.1",
    "fc7": "classifier.4",
    "classes": "classifier.6",
}


def _vgg(*convolutions: int) -> Table:
    """torchvision counts convolutions, relus and pools in one row."""
    table, place = {}, 0
    for stage, count in enumerate(convolutions, 1):
        for number in range(1, count + 1):
            table[f"stage{stage}/conv{number}"] = f"features.{place}"
            place += 2
        place += 1
    dense = {"fc6": "classifier.0", "fc7": "classifier.3", "classes": "classifier.6"}
    return table | dense


_KERAS_VGG = {
    "stage{i}/conv{j}": "block{i}_conv{j}",
    "fc6": "fc1",
    "fc7": "fc2",
    "classes": "predictions",
}

_GOOGLENET = {
    "{part}/classes": "{part}.fc2",
    "{part}/fc1": "{part}.fc1",
    "classes": "fc",
}
for _ours, _theirs in (("conv", "conv"), ("norm", "bn")):
    _GOOGLENET |= {
        f"{_ours}{{i}}": f"conv{{i}}.{_theirs}",
        f"{{part}}/{_ours}": f"{{part}}.conv.{_theirs}",
        f"{{part}}/{_ours}{{i}}_{{j}}": f"{{part}}.branch{{i}}.{{j-1}}.{_theirs}",
        f"{{part}}/{_ours}4": f"{{part}}.branch4.1.{_theirs}",
        f"{{part}}/{_ours}1": f"{{part}}.branch1.{_theirs}",
    }

_RESNET = {
    "norm1": "bn1",
    "stage{i}/block{j}/conv{k}": "layer{i}.{j-1}.conv{k}",
    "stage{i}/block{j}/norm{k}": "layer{i}.{j-1}.bn{k}",
    "stage{i}/shortcut": "layer{i}.0.downsample.0",
    "stage{i}/shortcut_norm": "layer{i}.0.downsample.1",
    "classes": "fc",
}

_DENSENET = {
    "conv0": "features.conv0",
    "norm0": "features.norm0",
    "block{i}/layer{j}/conv{k}": "features.denseblock{i}.denselayer{j}.conv{k}",
    "block{i}/layer{j}/norm{k}": "features.denseblock{i}.denselayer{j}.norm{k}",
    "transition{i}/conv": "features.transition{i}.conv",
    "transition{i}/norm": "features.transition{i}.norm",
    "norm": "features.norm5",
    "classes": "classifier",
}

_KERAS_DENSENET = {
    "conv0": "conv1_conv",
    "norm0": "conv1_bn",
    "block{i}/layer{j}/norm1": "conv{i+1}_block{j}_0_bn",
    "block{i}/layer{j}/norm2": "conv{i+1}_block{j}_1_bn",
    "block{i}/layer{j}/conv{k}": "conv{i+1}_block{j}_{k}_conv",
    "transition{i}/conv": "pool{i+1}_conv",
    "transition{i}/norm": "pool{i+1}_bn",
    "norm": "bn",
    "classes": "predictions",
}

_VIT = {
    f"block{{i}}/{part}:{ours}": "encoder.layers.encoder_layer_{i-1}.self_attention."
    f"in_proj_{theirs}[{number}/3]"
    for number, part in enumerate(("query", "key", "value"), 1)
    for ours, theirs in (("W:norm1", "weight"), ("B", "bias"))
} | {
    "class-token:B": "class_token",
    "tokens:B": "encoder.pos_embedding",
    "patches": "conv_proj",
    "block{i}/norm{k}": "encoder.layers.encoder_layer_{i-1}.ln_{k}",
    "block{i}/projection": "encoder.layers.encoder_layer_{i-1}.self_attention.out_proj",
    "block{i}/hidden": "encoder.layers.encoder_layer_{i-1}.mlp.0",
    "block{i}/output": "encoder.layers.encoder_layer_{i-1}.mlp.3",
    "norm": "encoder.ln",
    "class": "heads.head",
}

_TIMM_VIT = {
    "class-token:B": "cls_token",
    "tokens:B": "pos_embed",
    "patches": "patch_embed.proj",
    "block{i}/norm{k}": "blocks.{i-1}.norm{k}",
    "block{i}/query": "blocks.{i-1}.attn.qkv[1/3]",
    "block{i}/key": "blocks.{i-1}.attn.qkv[2/3]",
    "block{i}/value": "blocks.{i-1}.attn.qkv[3/3]",
    "block{i}/projection": "blocks.{i-1}.attn.proj",
    "block{i}/hidden": "blocks.{i-1}.mlp.fc1",
    "block{i}/output": "blocks.{i-1}.mlp.fc2",
    "class": "head",
}

_GPT_2 = {
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
}

_RESNETS = [f"resnet-{depth}" for depth in (18, 34, 50, 101, 152)]
_DENSENETS = [f"densenet-{depth}" for depth in (121, 169, 201)]

_NAMES: dict[str, dict[str, Table]] = {
    "torchvision": {
        "alexnet": _ALEXNET,
        "vgg-11": _vgg(1, 1, 2, 2, 2),
        "vgg-13": _vgg(2, 2, 2, 2, 2),
        "vgg-16": _vgg(2, 2, 3, 3, 3),
        "vgg-19": _vgg(2, 2, 4, 4, 4),
        "googlenet": _GOOGLENET,
        **dict.fromkeys(_RESNETS, _RESNET),
        **dict.fromkeys(_DENSENETS, _DENSENET),
        "vit-b-16": _VIT,
    },
    "timm": {**dict.fromkeys(_RESNETS, _RESNET), "vit-b-16": _TIMM_VIT},
    "keras": {
        "vgg-16": _KERAS_VGG,
        "vgg-19": _KERAS_VGG,
        **dict.fromkeys(_DENSENETS, _KERAS_DENSENET),
    },
    "transformers": {"gpt-2": _GPT_2},
}


_CURE = "a table of your own, as cj.from_torch describes it"


def names_in(library: str, network: str) -> dict[str, str]:
    """What a library calls the capsules of a known network.

    Keras' ResNets are no networks of the zoo: they have biases that batch norm
    subtracts again, and the stride in another convolution.

    Args:
        library: "torchvision", "timm", "keras" or "transformers".
        network: One of `cj.zoo.names()`.

    Returns:
        The table that `cj.from_torch` and `cj.from_keras` take.

    Raises:
        ValueError: There is no such table; says which there are.

    Example:
        >>> import capsjax as cj
        >>> cj.zoo.names_in("torchvision", "vit-b-16")["patches"]
        'conv_proj'
    """
    if library not in _NAMES:
        raise ValueError(
            f"no names in {library!r}; known: {', '.join(_NAMES)}; cure: {_CURE}"
        )
    tables = _NAMES[library]
    if network not in tables:
        near = difflib.get_close_matches(network, tables, n=1)
        cure = f"did you mean {near[0]!r}?" if near else _CURE
        raise ValueError(
            f"no names of {network!r} in {library!r}; known there: "
            f"{', '.join(tables)}; cure: {cure}"
        )
    return dict(tables[network])
