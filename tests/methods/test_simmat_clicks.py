"""SimMAT: a click asks for the region it lies in, in any batch, and the adapted SAM answers it."""

import numpy as np
import pytest
import torch

from sensam.data.loader import Loader
from sensam.data.sample import Sample
from sensam.errors import InputError
from sensam.infer.promptable import Predictor
from sensam.methods.base import Moment, Task
from sensam.methods.simmat import SimMat, SimMatConfig
from sensam.sensors import Sensor
from sensam.types import Batch, Prompts
from tests.methods.small_simmat import batch_of, learn, make, make_sam, moment_of


@pytest.mark.slow
def test_the_loss_is_of_the_clicked_region_and_leaves_out_what_is_unknown() -> None:
    method, batch = make(clicks=2), batch_of(4)
    method.eval()
    asked = method._ask(batch, moment_of(0))
    assert asked.count == 4
    assert asked.prompts.points_NP2 is not None
    assert batch.label_BHW is not None
    for number, (x, y) in enumerate(asked.prompts.points_NP2[:, 0].long().tolist()):
        label = batch.label_BHW[number // 2]
        assert torch.equal(asked.mask_Nhw[number], (label == label[y, x])[1::2, 1::2])
        assert torch.equal(asked.known_Nhw[number], (label != 255)[1::2, 1::2])
    wild = batch.label_BHW.clone()
    image = batch.image_BCHW.clone()
    wild[0] = 0  # nothing to click in the first image
    image[0] = 50
    only = method.stages[0].loss(Batch(image, batch.valid_BHW, wild, batch.keys), moment_of(0))
    alone = method.stages[0].loss(Batch(image[1:], batch.valid_BHW[1:], wild[1:], ("b",)), Moment(0, 0, 0, range(1, 2)))
    assert only["asked"] == 2
    assert torch.allclose(only["loss"], alone["loss"], atol=1e-6)
    nothing = method.stages[0].loss(Batch(image, batch.valid_BHW, wild * 0, batch.keys), moment_of(0))
    assert nothing["loss"].item() == 0


def test_clicks_do_not_depend_on_the_batch_they_come_in() -> None:
    method, batch = make(clicks=2), batch_of(4)
    together = method._ask(batch, moment_of(0)).prompts.points_NP2
    assert batch.label_BHW is not None
    second = Batch(batch.image_BCHW[1:], batch.valid_BHW[1:], batch.label_BHW[1:], ("b",))
    alone = method._ask(second, Moment(0, 0, 7, range(1, 2))).prompts.points_NP2
    assert together is not None
    assert alone is not None
    assert torch.equal(together[2:], alone)


def test_an_adapted_sam_answers_a_predictor_on_its_own_sensor() -> None:
    sensor = Sensor.from_dict(
        {"name": "s", "bands": [{"name": f"b{band}", "mean": 9.0, "std": 3.0 + band} for band in range(4)]}
    )
    method = SimMat(Task(sensor, ("a", "b"), make_sam(), size=32), SimMatConfig(amount=4))
    learn(method, batch_of(4))
    sam = method.promptable()
    assert sam is not None
    predictor = Predictor(sam, sensor, resize=False, square=False)
    stored = torch.randint(0, 30, (24, 40, 4)).float()
    predictor.set_image(stored.numpy())
    found = predictor.predict(points=(30, 9), multimask=False)
    mean, std = (torch.from_numpy(part) for part in sensor.statistics)
    image = ((stored - mean) / std).permute(2, 0, 1)[None]
    prompts = Prompts(torch.tensor([[[30.0, 9.0]]]), torch.ones(1, 1, dtype=torch.int64))
    logits, _ = sam.decode(sam.encode(image), prompts, multimask=False)
    assert found.masks_NMHW.shape == (1, 1, 24, 40)
    torch.testing.assert_close(found.low_res_logits_NMhw, logits, rtol=1e-4, atol=1e-4)
    with pytest.raises(InputError, match="4 bands"):
        Predictor(method.task.sam, sensor)  # which knows three, and still does


class Labels:
    """A stream of label maps alone, each saying by its place which region it holds."""

    epoch, ignore = 0, 255

    def __len__(self) -> int:
        return 11

    def __getitem__(self, place: int | tuple[int, int]) -> Sample:
        index = place[1] if isinstance(place, tuple) else place
        label = np.zeros((32, 32), np.int64)
        label[index : index + 9, 5:25], label[22:30, 2:12] = 1, 2
        pixels, ones, infinite = np.zeros((4, 32, 32), np.float32), np.ones(4, np.float32), np.full(4, np.inf)
        return Sample(str(index), pixels, None, label, ones, ones * 0, -infinite, infinite)


def test_two_processes_ask_the_clicks_that_one_asks() -> None:
    method = make(clicks=2)

    def asked(batch: int, rank: int, world: int) -> dict[int, list[list[float]]]:
        loader = Loader(Labels(), batch_size=batch, rank=rank, world=world)
        found: dict[int, list[list[float]]] = {}
        for places, each in zip(loader.places, loader.epoch(4), strict=True):
            points = method._ask(each, Moment(7, 4, 0, places)).prompts.points_NP2
            assert points is not None
            found |= dict(zip(places, points[:, 0].view(len(places), -1).tolist(), strict=True))
        return found

    alone, both = asked(4, 0, 1), [asked(2, rank, 2) for rank in range(2)]
    assert len(alone) == 11
    assert not both[0].keys() & both[1].keys()
    assert both[0] | both[1] == alone == asked(3, 0, 1)
