import io
import math
import zipfile

import numpy as np
import pytest
import torch

from model import ops


def test_binarise_gives_exact_zeros_and_ones():
    logits = torch.tensor([-30.0, -1e-6, 0.0, 1e-6, 30.0], requires_grad=True)
    for surrogate in ops.SURROGATES:
        assert ops.binarise(logits, 20.0, surrogate).tolist() == [0, 0, 0, 1, 1]


def test_the_values_are_the_same_with_and_without_gradient():
    logits = torch.randn(1, 12, 50, 50) * 30
    with torch.no_grad():
        plain = ops.binarise(logits, 20.0)
    assert torch.equal(ops.binarise(logits.requires_grad_(), 20.0), plain)


@pytest.mark.parametrize(
    ("surrogate", "slope"),
    [
        ("gaussian", lambda z: math.exp(-(z**2) / 800) / (20 * math.sqrt(2 * math.pi))),
        ("sigmoid", lambda z: math.exp(-z) / (1 + math.exp(-z)) ** 2),
        ("identity", lambda z: 1.0),
    ],
)
def test_the_gradient_is_the_surrogates_slope(surrogate, slope):
    values = [-25.0, -3.0, 0.0, 4.0, 30.0]
    logits = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    ops.binarise(logits, 20.0, surrogate).sum().backward()
    assert logits.grad.tolist() == pytest.approx([slope(z) for z in values], rel=1e-6, abs=1e-12)


def test_the_default_surrogate_does_not_vanish_on_trained_logits():
    logits = torch.tensor([20.0], requires_grad=True)
    ops.binarise(logits, 20.0).sum().backward()
    plain = torch.tensor([20.0], requires_grad=True)
    ops.binarise(plain, 20.0, "sigmoid").sum().backward()
    assert logits.grad.item() == pytest.approx(0.0121, rel=1e-2)  # exp(-1/2) / (20 sqrt(2 pi))
    assert plain.grad.item() == 0  # in 32 bits the sigmoid is one there


def test_the_surrogate_is_the_mean_of_the_noisy_code():
    logits = torch.tensor([-20.0, 0.0, 10.0]).expand(200_000, 3)
    generator = torch.Generator().manual_seed(0)
    mean = ops.noisy_code(logits, 20.0, generator).mean(0)
    assert mean.tolist() == pytest.approx(ops.soft_code(logits[0], 20.0).tolist(), abs=0.005)


def test_noise_follows_its_generator():
    logits = torch.zeros(1, 12, 4, 4)
    first = ops.noisy_code(logits, 20.0, torch.Generator().manual_seed(5))
    assert torch.equal(first, ops.noisy_code(logits, 20.0, torch.Generator().manual_seed(5)))
    assert not torch.equal(first, ops.noisy_code(logits, 20.0, torch.Generator().manual_seed(6)))
    assert torch.equal(ops.noisy_code(logits, 0.0), torch.full_like(logits, 0.5))


def test_unknown_surrogate_is_refused():
    with pytest.raises(ValueError, match="'cubic'"):
        ops.soft_code(torch.zeros(1), 20.0, "cubic")


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_planes_from_a_number_on_are_dropped(dtype):
    code = torch.randint(1, 3, (3, 12, 4, 5)).to(dtype)
    for planes in range(1, 13):
        kept = ops.keep_planes(code, planes)
        assert kept.dtype == dtype
        assert torch.equal(kept[:, :planes], code[:, :planes])
        assert kept[:, planes:].abs().sum() == 0
    assert torch.equal(ops.keep_planes(code, 12), code)


def test_each_picture_may_keep_another_number_of_planes():
    code = torch.ones(4, 12, 2, 3)
    kept = ops.keep_planes(code, torch.tensor([1, 12, 5, 7]))
    assert kept.sum((1, 2, 3)).tolist() == [6, 72, 30, 42]
    for picture, planes in zip(kept, (1, 12, 5, 7), strict=True):
        assert torch.equal(picture, ops.keep_planes(code[:1], planes)[0])


@pytest.mark.parametrize("planes", [0, 13, -1])
def test_impossible_numbers_of_planes_are_refused(planes):
    with pytest.raises(ops.CodeError, match=f"from 1 to 12, got {planes}"):
        ops.keep_planes(torch.ones(1, 12, 2, 2), planes)


@pytest.mark.parametrize("shape", [(12, 32, 32), (12, 5, 7), (1, 1, 1), (3, 1, 9)])
def test_a_code_survives_packing(shape):
    code = torch.randint(0, 2, shape, dtype=torch.uint8)
    packed = ops.pack_code(code)
    assert torch.equal(ops.unpack_code(packed), code)
    with np.load(io.BytesIO(packed)) as archive:
        assert archive["bits"].dtype == np.uint8
        assert archive["bits"].size == math.ceil(math.prod(shape) / 8)
        assert tuple(archive["shape"]) == shape


def test_packing_refuses_what_is_no_code():
    with pytest.raises(ops.CodeError, match="zeros and ones"):
        ops.pack_code(torch.full((12, 2, 2), 2))
    with pytest.raises(ops.CodeError, match=r"\(1, 12, 2, 2\)"):
        ops.pack_code(torch.zeros(1, 12, 2, 2))


def test_unpacking_refuses_damage():
    packed = ops.pack_code(torch.ones(12, 8, 8))
    for damaged in (b"", b"nonsense", packed[: len(packed) // 2]):
        with pytest.raises(ops.CodeError):
            ops.unpack_code(damaged)
    buffer = io.BytesIO()
    np.savez(buffer, bits=np.zeros(3, np.uint8), shape=np.array([12, 8, 8]))
    with pytest.raises(ops.CodeError, match="cannot have 3"):
        ops.unpack_code(buffer.getvalue())


@pytest.mark.parametrize("count", [2**60, 10**30])
def test_unpacking_refuses_what_promises_more_than_memory_holds(count):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (count,)})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("bits.npy", header.getvalue())
    with pytest.raises(ops.CodeError, match="not a packed code"):
        ops.unpack_code(buffer.getvalue())


def test_planes_that_are_off_are_zero_and_the_others_as_they_were():
    code = torch.ones(2, 5, 3, 3, dtype=torch.uint8)
    found = ops.without_planes(code, [3, 0])
    assert found.sum((0, 2, 3)).tolist() == [0, 18, 18, 0, 18]
    assert found.dtype == code.dtype
    assert code.all()  # the one that was given is left alone
    assert torch.equal(ops.without_planes(code, [3, 4]), ops.keep_planes(code, 3))
    assert torch.equal(ops.without_planes(code, []), code)
    for wrong in ([5], [-1], [0, 99]):
        with pytest.raises(ops.CodeError, match="from 0 to 4"):
            ops.without_planes(code, wrong)
