"""What becomes of a finished training: the packed file, the evaluation of both networks, and the record."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

import torch
from torch import nn

from bnn_ablate import provenance
from bnn_ablate.cost import count_cost
from bnn_ablate.data import Splits, eval_batches
from bnn_ablate.evaluation import Evaluation
from bnn_ablate.identity import RESULTS_VERSION, Ids, ids_of, plain_config
from bnn_ablate.latency import measure
from bnn_ablate.models import fit_sizes, shapes_of
from bnn_ablate.packed import EngineError, PackedNetwork, available_kernels, pack
from bnn_ablate.packed.engine import MAX_THREADS
from bnn_ablate.packed.graph import GraphError
from bnn_ablate.packed.lowering import LoweringError
from bnn_ablate.packed_evaluation import compare, packed_facts, write_packed
from bnn_ablate.pretraining import float_settings
from bnn_ablate.record import Accuracy, BestHoldout, CostFacts, DataFacts, Epoch, Provenance, Record, pack_bits
from bnn_ablate.settings import Settings, SettingsError
from bnn_ablate.store import RunFolder, now
from bnn_ablate.trained import load_trained, new_network


def check_engine(settings: Settings) -> None:
    """Refuse what would only fail once the training is over: the network is packed as it begins. Raises SettingsError.

    What trained weights alone can bring about, such as values that are not finite, is seen at the end.
    """
    if settings.trainer.threads > MAX_THREADS:
        raise SettingsError(f"trainer.threads={settings.trainer.threads} is more than {MAX_THREADS}: choose fewer")
    try:
        available_kernels()
    except EngineError as error:
        raise SettingsError(str(error)) from None
    network = new_network(settings).eval()
    try:
        pack(network, _image_shape(settings), threads=settings.trainer.threads)
    except (LoweringError, GraphError, EngineError) as error:
        raise SettingsError(f"this network cannot be packed, as every run is at its end: {error}") from None


def make_record(settings: Settings, splits: Splits, folder: RunFolder, ids: Ids) -> Record:
    """Pack the last epoch's network, evaluate both on the test set and write down everything a reader will ask."""
    trained = load_trained(settings, folder)
    expected = settings.recipe.epochs * (len(splits.train) // settings.recipe.batch_size)
    if trained.steps != expected or len(trained.curve) != settings.recipe.epochs:
        raise RuntimeError(
            f"the training made {trained.steps} steps and {len(trained.curve)} epochs where the recipe asks for "
            f"{expected} and {settings.recipe.epochs}"
        )
    image_shape = _image_shape(settings)
    write_packed(folder.packed, trained.network, image_shape)
    packed = PackedNetwork.load(folder.packed, threads=settings.trainer.threads)
    cost = count_cost(trained.network, image_shape)
    device = torch.device("cuda" if settings.trainer.accelerator == "gpu" else "cpu")
    batches = eval_batches(
        splits.test,
        settings.data,
        settings.recipe,
        settings.recipe.batch_size,
        rank=0,
        world_size=1,
        device=device,
        workers=settings.trainer.workers,
    )
    compared = compare(trained.network.to(device), packed, batches)
    built = fit_sizes(settings.model, settings.design, **shapes_of(settings)).model
    first_run = float_settings(settings)
    first = trained.places[0]
    last = trained.curve[-5:]
    return Record(
        schema=1,
        run_id=ids.run_id,
        cell_id=ids.cell_id,
        results_version=RESULTS_VERSION,
        seed=settings.seed,
        config=plain_config(settings, ids),
        data=DataFacts(
            name=settings.data.name,
            checksum=ids.checksum,
            num_train=len(splits.train),
            num_holdout=0 if splits.holdout is None else len(splits.holdout),
            num_test=len(splits.test),
        ),
        accuracy=accuracy_of(compared.floats),
        last5_top1=sum(row.test_top1 for row in last) / len(last),
        best_holdout=best_on_holdout(trained.curve),
        packed=packed_facts(compared, packed, measure(packed), folder.packed.stat().st_size),
        cost=CostFacts(
            params=cost.params,
            params_binary=cost.params_binary,
            size_bits=cost.size_bits,
            macs_float=cost.macs_float,
            macs_binary=cost.macs_binary,
        ),
        built=None if built == settings.model else json.loads(json.dumps(asdict(built))),
        pretrained_by=None if first_run is None else ids_of(first_run, checksum=ids.checksum).run_id,
        weight_digest=weight_digest(trained.network),
        steps=trained.steps,
        curve=trained.curve,
        provenance=Provenance(
            **first,
            started=trained.started,
            finished=now(),
            train_seconds=sum(row.seconds for row in trained.curve),
            resumes=len(trained.places) - 1,
            notes=provenance.changes(trained.places),
            peak_memory_bytes=trained.peak_memory_bytes,
        ),
    )


def _image_shape(settings: Settings) -> tuple[int, int, int]:
    size = settings.data.image_size
    return len(settings.data.mean), size, size


def accuracy_of(result: Evaluation) -> Accuracy:
    """An evaluation as a record says it."""
    count, _, hits, top5 = result.sums
    correct_bits = pack_bits(result.correct.tolist())
    return Accuracy(num_images=int(count), top1=hits / count, top5=top5 / count, correct_bits=correct_bits)


def best_on_holdout(curve: list[Epoch]) -> BestHoldout | None:
    """The first of the epochs that are best on the held-out images; None where none were held out."""
    held_out = [(row.holdout_top1, -row.epoch, row.test_top1) for row in curve if row.holdout_top1 is not None]
    if not held_out:
        return None
    holdout_top1, minus_epoch, test_top1 = max(held_out)
    return BestHoldout(epoch=-minus_epoch, holdout_top1=holdout_top1, test_top1=test_top1)


def weight_digest(network: nn.Module) -> str:
    """SHA-256 over the names and the bytes of the state, in the order of the names."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
