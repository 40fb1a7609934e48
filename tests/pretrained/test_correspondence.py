"""Names of the zoo's networks elsewhere: which there are."""

import pytest

import capsjax as cj
from capsjax.pretrained.names import Names
from capsjax.zoo.correspondence import names_in


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (
            ("torch", "vgg-16"),
            "no names in 'torch'; known: torchvision, timm, keras, transformers; cure: "
            "a table of your own, as cj.from_torch describes it",
        ),
        (
            ("timm", "resnet50"),
            "no names of 'resnet50' in 'timm'; known there: resnet-18, resnet-34, "
            "resnet-50, resnet-101, resnet-152, vit-b-16; cure: did you mean "
            "'resnet-50'?",
        ),
        (
            ("transformers", "capsnet"),
            "no names of 'capsnet' in 'transformers'; known there: gpt-2; cure: a "
            "table of your own, as cj.from_torch describes it",
        ),
    ],
)
def test_unknown_names_are_refused(asked, text):
    with pytest.raises(ValueError) as error:
        names_in(*asked)
    assert str(error.value) == text


def test_tables_are_copies():
    names_in("torchvision", "alexnet").clear()
    assert names_in("torchvision", "alexnet")["conv1"] == "features.0"


@pytest.mark.parametrize(
    ("library", "network", "ours", "theirs"),
    [
        ("torchvision", "vgg-11", "stage3/conv2", "features.8"),
        ("torchvision", "googlenet", "conv2", "conv2.conv"),
        ("torchvision", "googlenet", "aux1/norm", "aux1.conv.bn"),
        ("torchvision", "googlenet", "inception3a/norm3_2", "inception3a.branch3.1.bn"),
        ("torchvision", "googlenet", "inception3a/conv4", "inception3a.branch4.1.conv"),
        ("torchvision", "resnet-18", "stage2/block2/norm1", "layer2.1.bn1"),
        ("keras", "densenet-121", "transition1/conv", "pool2_conv"),
    ],
)
def test_capsules_have_these_names_there(library, network, ours, theirs):
    assert Names(names_in(library, network)).find(ours) == theirs
    capsules = cj.zoo.graph(network, **_options(network))
    names = {c.name for c in cj.compile(capsules, check=False).typed.capsules}
    assert ours in names


def _options(network: str) -> dict[str, bool]:
    return {"auxiliary": True} if network == "googlenet" else {}
