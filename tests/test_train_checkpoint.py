"""What a run goes on from survives saving."""

import torch

from model import ComDefend
from model.train import checkpoint


def test_a_run_survives_saving(codec, pictures, tmp_path):
    optimizer = torch.optim.Adam(codec.parameters(), lr=0.1)
    codec(pictures).sum().backward()
    optimizer.step()
    path = tmp_path / "run.safetensors"
    checkpoint.save_run(path, {"model": codec, "best": torch.nn.Linear(1, 1)}, optimizer, {"step": 1})

    other = ComDefend(codec.config)
    restored = torch.optim.Adam(other.parameters(), lr=0.1)
    checkpoint.load_run(path, {"model": other}, restored)
    assert checkpoint.read_run_state(path) == {"step": 1}
    for model, steps in ((codec, optimizer), (other, restored)):
        steps.zero_grad()
        model(pictures).sum().backward()
        steps.step()
    for name, tensor in codec.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_an_optimisers_tensors_lie_in_memory_as_their_parameters(tmp_path):
    """Fused optimisers refuse others; the file has them all contiguous."""
    models = [torch.nn.Conv2d(3, 8, 3).to(memory_format=torch.channels_last) for _ in range(2)]
    saved, restored = (torch.optim.SGD(model.parameters(), 0.1, momentum=0.9) for model in models)
    models[0](torch.rand(1, 3, 4, 4)).sum().backward()
    saved.step()
    checkpoint.save_run(tmp_path / "run.safetensors", {"model": models[0]}, saved, {})
    checkpoint.load_run(tmp_path / "run.safetensors", {"model": models[1]}, restored)
    momentum = restored.state[models[1].weight]["momentum_buffer"]
    assert momentum.stride() == models[1].weight.stride() != momentum.contiguous().stride()
    assert torch.equal(momentum, saved.state[models[0].weight]["momentum_buffer"])
