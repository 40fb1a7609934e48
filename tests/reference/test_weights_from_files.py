"""Weights that PyTorch saved in a file, read without it."""

import helpers_torch
import numpy as np
import safetensors.numpy
import safetensors.torch

import capsjax as cj

torch = helpers_torch.torch


def test_a_file_of_safetensors_becomes_parameters(tmp_path):
    model = helpers_torch.torchvision.models.resnet18(num_classes=10).eval()
    path = tmp_path / "resnet-18.safetensors"
    safetensors.torch.save_file(model.state_dict(), path)

    net = cj.compile(cj.zoo.graph("resnet-18", shape=(64, 64, 3), classes=10))
    names = cj.zoo.names_in("torchvision", "resnet-18")
    params, state = cj.from_torch(net, safetensors.numpy.load_file(path), names)

    images = np.random.default_rng(0).standard_normal((2, 64, 64, 3), np.float32)
    found, _ = net.apply(params, state, {"image": images})
    with torch.no_grad():
        wanted = model(torch.from_numpy(images.transpose(0, 3, 1, 2)).contiguous())
    wanted = wanted.softmax(-1).numpy()
    np.testing.assert_allclose(found["classes"], wanted, rtol=1e-4, atol=1e-7)
