"""The trainers as a user starts them: with several processes, stopped and resumed, with TensorBoard."""

import json
import shutil
import signal
from pathlib import Path

import pytest
import torch
from conftest import call, finish, start, torchrun, wait_for
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import train_mlm
import train_triplet
from benchmarks.chaos import last_step
from lyricbert.errors import UserError
from lyricbert.training.checkpoint import step_of
from lyricbert.training.metrics import read_metrics

STEPS = 150
SETTINGS = (
    *("--tokens-per-batch", 128, "--lr", 1e-3, "--precision", "fp32", "--seed", 3, "--log-every", 1),
    *("--eval-every", 40, "--checkpoint-every", 50, "--keep-last", 9),
)


def mlm_arguments(store_dir: Path, model_dir: Path, out: Path, *more: object) -> list[object]:
    return ["--data", store_dir, "--model", model_dir, "--out", out, *SETTINGS, *more]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model" / "model.safetensors")


def curve(run: Path, name: str = "train/loss") -> dict[int, float]:
    return {record["step"]: record[name] for record in read_metrics(run / "metrics.jsonl") if name in record}


def assert_same_weights(run: Path, other: Path) -> None:
    ours, theirs = weights(run), weights(other)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def rewind(run: Path, step: int) -> None:
    """Remove the model and all checkpoints after `step`, as if the run had been killed."""
    shutil.rmtree(run / "model")
    for checkpoint in (run / "checkpoints").iterdir():
        if step_of(checkpoint) > step:
            shutil.rmtree(checkpoint)


def assert_same_run(run: Path, other: Path) -> None:
    """Bit for bit: weights, optimizer, and the loss of every step."""
    assert curve(run) == curve(other)
    assert curve(run, "eval/loss") == curve(other, "eval/loss")
    assert_same_weights(run, other)
    last = f"checkpoints/step-{STEPS:08d}/optimizer.pt"
    ours, theirs = (torch.load(path / last, weights_only=True)["optimizer"]["state"] for path in (run, other))
    for number, moments in theirs.items():
        assert all(torch.equal(ours[number][name], value) for name, value in moments.items())


def assert_each_step_once(run: Path) -> None:
    """On the curves of both TensorBoard and metrics.jsonl."""
    expected = {"train/loss": list(range(1, STEPS + 1)), "eval/loss": [0, 40, 80, 120, STEPS]}
    board = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    records = read_metrics(run / "metrics.jsonl")
    for name, steps in expected.items():
        assert [event.step for event in board.Scalars(name)] == steps
        assert [record["step"] for record in records if name in record] == steps


@pytest.fixture(scope="module")
def undisturbed(work, store_dir, model_dir) -> Path:
    """An uninterrupted run of two processes."""
    out = work / "undisturbed"
    finish(torchrun(2, "train_mlm.py", *mlm_arguments(store_dir, model_dir, out, "--max-steps", STEPS)))
    return out


@pytest.fixture(scope="module")
def alone(work, store_dir, model_dir) -> Path:
    """The first steps of the same training in one process, without torchrun."""
    out = work / "alone"
    call(train_mlm.main, *few_steps(store_dir, model_dir, out))
    return out


def few_steps(store_dir: Path, model_dir: Path, out: Path) -> list[object]:
    return mlm_arguments(store_dir, model_dir, out, "--max-steps", 20, "--checkpoint-every", 10)


@pytest.fixture(scope="module")
def two(work, store_dir, model_dir) -> Path:
    finish(torchrun(2, "train_mlm.py", *few_steps(store_dir, model_dir, work / "two")))
    return work / "two"


@pytest.fixture(scope="module")
def four(work, store_dir, model_dir) -> Path:
    finish(torchrun(4, "train_mlm.py", *few_steps(store_dir, model_dir, work / "four")))
    return work / "four"


@pytest.mark.parametrize("processes", ["two", "four"])
def test_any_number_of_processes_trains_the_same(alone, processes, request):
    together = request.getfixturevalue(processes)
    for name in ("train/loss", "train/grad_norm", "train/lr", "eval/loss"):
        ours, theirs = curve(together, name), curve(alone, name)
        assert ours.keys() == theirs.keys()
        assert ours == pytest.approx(theirs, rel=2e-4), name
    ours, theirs = weights(together), weights(alone)
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-3, atol=2e-4, msg=name)


def test_four_processes_sum_gradients_in_the_same_order_after_resuming(four, tmp_path, store_dir, model_dir):
    """The order of a sum matters from three addends on. So DDP's gradient buckets must be those of the first run."""
    shutil.copytree(four, tmp_path / "run")
    rewind(tmp_path / "run", 10)
    errors = finish(torchrun(4, "train_mlm.py", *few_steps(store_dir, model_dir, tmp_path / "run")))
    assert "step-00000010" in errors
    assert curve(tmp_path / "run") == curve(four)
    assert_same_weights(tmp_path / "run", four)


@pytest.mark.parametrize("processes", [1, 4])
def test_another_number_of_processes_resumes_the_run_of_two(two, alone, processes, tmp_path, store_dir, model_dir):
    run = tmp_path / "run"
    shutil.copytree(two, run)
    rewind(run, 10)
    if processes == 1:
        call(train_mlm.main, *few_steps(store_dir, model_dir, run))
    else:
        finish(torchrun(processes, "train_mlm.py", *few_steps(store_dir, model_dir, run)))
    assert list(curve(run)) == list(range(1, 21))
    assert curve(run) == pytest.approx(curve(alone), rel=2e-4)
    for name, tensor in weights(alone).items():
        torch.testing.assert_close(weights(run)[name], tensor, rtol=1e-3, atol=2e-4, msg=name)


def test_two_processes_resume_the_run_of_three_with_the_same_micro_batches(tmp_path, store_dir, model_dir):
    """By default, three processes use six micro-batches per step, but two processes use four."""
    run = tmp_path / "run"
    arguments = few_steps(store_dir, model_dir, run)
    finish(torchrun(3, "train_mlm.py", *arguments))
    before = curve(run)
    rewind(run, 10)
    finish(torchrun(2, "train_mlm.py", *arguments))
    config = json.loads((run / "config.json").read_text())
    assert (config["world_size"], config["global_micro_batches"]) == (2, 6)
    assert curve(run) == pytest.approx(before, rel=2e-4)


def test_training_lowers_the_held_out_loss(undisturbed):
    losses = curve(undisturbed, "eval/loss")
    assert list(losses) == [0, 40, 80, 120, STEPS]
    assert losses[STEPS] < losses[0] - 0.3


def test_resuming_in_the_middle_of_an_epoch_equals_the_uninterrupted_run(undisturbed, tmp_path, store_dir, model_dir):
    run = tmp_path / "run"
    shutil.copytree(undisturbed, run)
    rewind(run, 50)
    errors = finish(torchrun(2, "train_mlm.py", *mlm_arguments(store_dir, model_dir, run, "--max-steps", STEPS)))
    assert "step-00000050" in errors
    assert_same_run(run, undisturbed)
    assert_each_step_once(run)  # what was written after step 50 the first time is taken back


def test_a_signal_saves_a_checkpoint_and_the_same_command_resumes(undisturbed, tmp_path, store_dir, model_dir):
    run = tmp_path / "run"
    arguments = mlm_arguments(store_dir, model_dir, run, "--max-steps", STEPS)
    process = torchrun(2, "train_mlm.py", *arguments)
    wait_for(lambda: last_step(run) >= 20, process)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate()
    assert "Stopped by" in errors
    assert "Run the same command to resume." in errors
    assert not (run / "model").exists()
    stopped_at = max(step_of(path) for path in (run / "checkpoints").iterdir())
    assert 20 <= stopped_at < STEPS
    assert f"step-{stopped_at:08d}" in finish(torchrun(2, "train_mlm.py", *arguments))
    assert_same_run(run, undisturbed)
    assert_each_step_once(run)


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGINT])
def test_a_signal_ends_a_single_process_with_status_0(tmp_path, store_dir, model_dir, number):
    arguments = mlm_arguments(store_dir, model_dir, tmp_path / "run", "--max-steps", 100_000)
    process = start("train_mlm.py", *arguments)
    wait_for(lambda: last_step(tmp_path / "run") >= 3, process)
    process.send_signal(number)
    assert f"Stopped by {number.name}" in finish(process)
    assert len(list((tmp_path / "run/checkpoints").iterdir())) >= 1


def test_a_finished_run_stays_finished(alone, store_dir, model_dir, capfd):
    before = {path: path.stat().st_mtime_ns for path in (alone / "model").iterdir()}
    call(train_mlm.main, *mlm_arguments(store_dir, model_dir, alone, "--max-steps", 20))
    assert "finished at step 20" in capfd.readouterr().err
    assert before == {path: path.stat().st_mtime_ns for path in (alone / "model").iterdir()}
    assert list(curve(alone)) == list(range(1, 21))


def test_everything_is_monitored(undisturbed):
    board = EventAccumulator(str(undisturbed / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    tags = board.Tags()
    names = {
        *("train/loss", "train/perplexity", "train/lr", "train/grad_norm", "memory/peak_gib"),
        *("throughput/tokens_per_s", "throughput/lines_per_s", "data/real_token_fraction", "data/wait_fraction"),
        *("eval/loss", "eval/accuracy", "train/skipped_steps"),
    }
    assert names == set(tags["scalars"])
    assert "eval/fill_in/text_summary" in tags["tensors"]
    assert "_hparams_/experiment" in board.summary_metadata
    table = board.Tensors("eval/fill_in/text_summary")[-1].tensor_proto.string_val[0].decode()
    assert table.count("[MASK]") == 8
    for name in names:
        scalars = {event.step: event.value for event in board.Scalars(name)}
        assert scalars == pytest.approx(curve(undisturbed, name))
    fractions = curve(undisturbed, "data/real_token_fraction").values()
    assert all(0.5 < fraction <= 1 for fraction in fractions)
    assert all(0 <= fraction <= 1 for fraction in curve(undisturbed, "data/wait_fraction").values())
    config = json.loads((undisturbed / "config.json").read_text())
    assert (config["world_size"], config["seed"], config["precision"]) == (2, 3, "fp32")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_lowers_the_held_out_loss(tmp_path, store_dir, model_dir, precision):
    arguments = mlm_arguments(store_dir, model_dir, tmp_path / "run", "--max-steps", 40)
    call(train_mlm.main, *arguments, "--precision", precision)
    losses = curve(tmp_path / "run", "eval/loss")
    assert losses[40] < losses[0] - 0.05


@pytest.mark.parametrize("masking", ["dynamic", "static"])
def test_sections_and_both_ways_of_masking(tmp_path, store_dir, model_dir, masking):
    arguments = mlm_arguments(store_dir, model_dir, tmp_path / "run", "--max-steps", 20)
    call(train_mlm.main, *arguments, "--unit", "section", "--masking", masking, "--mask-rate", 0.3)
    assert curve(tmp_path / "run", "eval/loss")[20] < curve(tmp_path / "run", "eval/loss")[0]


def test_packed_rows_train_and_resume(tmp_path, store_dir, model_dir):
    settings = ("--max-steps", 24, "--tokens-per-batch", 512, "--layout", "packed", "--checkpoint-every", 12)
    runs = [tmp_path / name for name in ("run", "other")]
    for run in runs:
        call(train_mlm.main, *mlm_arguments(store_dir, model_dir, run, *settings))
    losses = curve(runs[0], "eval/loss")
    assert losses[24] < losses[0] - 0.05
    assert min(curve(runs[0], "data/real_token_fraction").values()) > 0.7
    rewind(runs[1], 12)
    call(train_mlm.main, *mlm_arguments(store_dir, model_dir, runs[1], *settings))
    assert_same_weights(*runs)


def test_compressed_gradients_are_rounded_and_profiles_written(alone, tmp_path, store_dir, model_dir):
    run = tmp_path / "run"
    arguments = mlm_arguments(store_dir, model_dir, run, "--max-steps", 20, "--compress-gradients", "--profile")
    finish(torchrun(2, "train_mlm.py", *arguments))
    losses, exact = curve(run), curve(alone)
    assert [losses[step] for step in exact] == pytest.approx(list(exact.values()), rel=2e-3)
    assert any(losses[step] != pytest.approx(exact[step], rel=1e-6) for step in exact)
    (trace,) = (run / "tensorboard").glob("*.pt.trace.json")
    names = {event.get("name") for event in json.loads(trace.read_text())["traceEvents"]}
    assert {f"ProfilerStep#{n}" for n in range(3, 8)} <= names
    assert "aten::mm" in names


def test_head_warmup_trains_only_the_head(tmp_path, store_dir, encoder_dir, capfd):
    warmup = ("--head-warmup-steps", 3, "--head-warmup-lr", 5e-3, "--checkpoint-every", 3)
    arguments = mlm_arguments(store_dir, encoder_dir, tmp_path / "run", "--max-steps", 6, *warmup)
    call(train_mlm.main, *arguments)
    assert f"{encoder_dir} has no MLM head" in capfd.readouterr().err
    before = load_file(encoder_dir / "model.safetensors")
    warm, end = (load_file(tmp_path / f"run/checkpoints/step-{n:08d}/model.safetensors") for n in (3, 6))
    encoder = [name for name in warm if name.startswith("bert.bert.")]
    assert len(encoder) > 30
    for name in encoder:
        assert torch.equal(warm[name], before[name.removeprefix("bert.bert.")])
    for name in ("bert.bert.embeddings.word_embeddings.weight", "bert.cls.predictions.bias"):
        assert not torch.equal(end[name], warm[name])
    assert warm["bert.cls.predictions.bias"].abs().max() > 0
    rates = curve(tmp_path / "run", "train/lr")
    assert [rates[step] for step in (1, 2, 3)] == [5e-3] * 3
    assert max(rates[step] for step in (4, 5, 6)) <= 1e-3
    # Resuming at the end of the warm-up, when the encoder has no optimizer state yet, gives the same weights.
    shutil.copytree(tmp_path / "run", tmp_path / "whole")
    rewind(tmp_path / "run", 3)
    call(train_mlm.main, *arguments)
    assert "step-00000003" in capfd.readouterr().err
    assert_same_weights(tmp_path / "run", tmp_path / "whole")


def test_a_head_can_be_trained_on_a_frozen_encoder(tmp_path, store_dir, encoder_dir):
    head_only = ("--max-steps", 10, "--head-warmup-steps", 10, "--head-warmup-lr", 5e-3)
    call(train_mlm.main, *mlm_arguments(store_dir, encoder_dir, tmp_path / "run", *head_only))
    before, after = (load_file(path / "model.safetensors") for path in (encoder_dir, tmp_path / "run/model"))
    encoder = [name for name in after if name.startswith("bert.")]
    assert len(encoder) > 30
    assert all(torch.equal(after[name], before[name.removeprefix("bert.")]) for name in encoder)
    losses = curve(tmp_path / "run", "eval/loss")
    assert losses[10] < losses[0]


def test_head_warmup_is_the_same_with_two_processes(tmp_path, store_dir, encoder_dir):
    """The encoder is unfrozen in the second epoch, after DDP has reduced only the gradients of the head."""
    warmup = ("--max-steps", 20, "--head-warmup-steps", 15)
    arguments = {run: mlm_arguments(store_dir, encoder_dir, tmp_path / run, *warmup) for run in ("one", "two")}
    call(train_mlm.main, *arguments["one"])
    finish(torchrun(2, "train_mlm.py", *arguments["two"]))
    for name in ("train/loss", "train/grad_norm", "eval/loss"):
        assert curve(tmp_path / "two", name) == pytest.approx(curve(tmp_path / "one", name), rel=2e-4), name


def triplet_arguments(store_dir: Path, model_dir: Path, out: Path, *more: object) -> list[object]:
    settings = ("--tokens-per-batch", 512, "--max-length", 64, "--lr", 1e-3, "--precision", "fp32", "--log-every", 1)
    return ["--data", store_dir, "--model", model_dir, "--out", out, *settings, "--epochs", 3, *more]


@pytest.fixture(scope="module")
def triplets(work, store_dir, model_dir) -> Path:
    """Triplet training in one process."""
    call(train_triplet.main, *triplet_arguments(store_dir, model_dir, work / "triplets", "--checkpoint-every", 7))
    return work / "triplets"


def test_triplets_under_torchrun(triplets, tmp_path, store_dir, model_dir):
    out = tmp_path / "run"
    finish(torchrun(2, "train_triplet.py", *triplet_arguments(store_dir, model_dir, out)))
    for name in ("train/loss", "train/grad_norm", "eval/triplet_loss"):
        assert curve(out, name) == pytest.approx(curve(triplets, name), rel=2e-4), name
    losses = curve(out, "eval/triplet_loss")
    steps = max(losses)
    assert losses[steps] < losses[0]
    for name in ("triplet_accuracy", "positive_distance", "negative_distance", "active_triplets"):
        assert set(curve(out, f"eval/{name}")) == {0, steps}
    assert 0 < curve(out, "eval/active_triplets")[0] <= 1
    assert len(curve(out, "throughput/triplets_per_s")) == steps
    real = curve(out, "data/real_token_fraction").values()
    assert sum(real) / len(real) > 0.95
    assert (out / "model/1_Pooling/config.json").is_file()


def test_resumed_triplet_training_is_bit_identical(triplets, tmp_path, store_dir, model_dir):
    """The checkpoint is in the middle of an epoch."""
    run = shutil.copytree(triplets, tmp_path / "run")
    rewind(run, 7)
    call(train_triplet.main, *triplet_arguments(store_dir, model_dir, run, "--checkpoint-every", 7))
    assert_same_weights(run, triplets)
    for name in ("train/loss", "train/grad_norm", "eval/triplet_loss", "eval/triplet_accuracy"):
        assert curve(run, name) == curve(triplets, name)


@pytest.mark.parametrize("loss", ["batch-hard", "soft-margin", "semi-hard", "infonce"])
def test_the_other_triplet_losses(tmp_path, store_dir, model_dir, loss):
    arguments = triplet_arguments(store_dir, model_dir, tmp_path / "run", "--max-steps", 30)
    call(train_triplet.main, *arguments, "--loss", loss, "--distance", "euclidean", "--pooling", "cls")
    accuracy = curve(tmp_path / "run", "eval/triplet_accuracy")
    assert accuracy.keys() == {0, 30}
    distance = curve(tmp_path / "run", "eval/positive_distance")
    assert distance[30] != distance[0]


def test_resuming_from_a_named_checkpoint(alone, tmp_path, store_dir, model_dir):
    checkpoint = alone / "checkpoints/step-00000010"
    call(train_mlm.main, *few_steps(store_dir, model_dir, tmp_path / "run"), "--resume", checkpoint)
    assert list(curve(tmp_path / "run")) == list(range(11, 21))
    assert_same_weights(tmp_path / "run", alone)


def test_a_run_with_other_settings_is_refused(alone, store_dir, model_dir):
    before = (alone / "config.json").read_bytes()
    with pytest.raises(UserError, match="saved with seed 3, this run has 4"):
        call(train_mlm.main, *mlm_arguments(store_dir, model_dir, alone, "--max-steps", 20, "--seed", 4))
    assert (alone / "config.json").read_bytes() == before
    with pytest.raises(UserError, match="--resume none would overwrite"):
        call(train_mlm.main, *mlm_arguments(store_dir, model_dir, alone, "--max-steps", 20, "--resume", "none"))
