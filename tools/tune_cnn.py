"""Is a gently fine-tuned EfficientNet-Lite0 worth its cost beside the frozen one? Trains it on four fifths of the training sources and scores the
rest, fold by fold, for the table on the results page Ablations. Needs `pip install torch`, twenty minutes of two cores for each fold, and the collection.

    python tools/tune_cnn.py labels.csv nbs/results/09_tuned.csv --folds 0 1
"""
import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from torch import nn

from aivd_nb.efficientnet import _blocks, _same, find_checkpoint, read_checkpoint
from aivd_nb.labels import read_labels
from aivd_nb.metrics import auc
from aivd_nb.sampling import Sampling, plan_windows
from aivd_nb.splits import grouped_folds
from aivd_nb.video import VideoReader
from aivd_nb.views import square

EPOCHS = 3
CLIPS = 12 # a step
FRAMES = 4 # of a clip
RATE = 1e-4


class Conv(nn.Module):
    "A convolution and its batch normalisation, whose statistics stay"
    def __init__(self, weights, conv, norm, stride=1, groups=1, relu6=True, trained=True):
        super().__init__()
        tensor = lambda name: torch.tensor(np.ascontiguousarray(weights[name])).float()
        self.kernel, self.gain, self.shift = (nn.Parameter(tensor(n), requires_grad=trained) for n in (conv, f"{norm}.weight", f"{norm}.bias"))
        self.register_buffer("mean", tensor(f"{norm}.running_mean"))
        self.register_buffer("var", tensor(f"{norm}.running_var"))
        self.stride = stride
        self.groups = groups
        self.relu6 = relu6

    def forward(self, x):
        scale = self.gain/torch.sqrt(self.var + 1e-3)
        kernel = (self.kernel*scale[:, None, None, None]).to(x.dtype)
        bias = (self.shift - self.mean*scale).to(x.dtype)
        (before, _, after, _), _ = _same(x.shape[2], kernel.shape[2], self.stride)
        if before != after: x, before = F.pad(x, (before, after, before, after)), 0
        y = F.conv2d(x, kernel, bias, self.stride, before, 1, self.groups)
        return F.relu6(y) if self.relu6 else y


class Block(nn.Module):
    "An inverted bottleneck"
    def __init__(self, weights, i, trained, stride, widen, width, out):
        super().__init__()
        p = f"_blocks.{i}"
        self.widen = Conv(weights, f"{p}._expand_conv.weight", f"{p}._bn0", trained=trained) if widen != 1 else nn.Identity()
        self.filter = Conv(weights, f"{p}._depthwise_conv.weight", f"{p}._bn1", stride, width*widen, trained=trained)
        self.narrow = Conv(weights, f"{p}._project_conv.weight", f"{p}._bn2", relu6=False, trained=trained)
        self.adds = stride == 1 and width == out

    def forward(self, x):
        y = self.narrow(self.filter(self.widen(x)))
        return x + y if self.adds else y


class Network(nn.Module):
    "EfficientNet-Lite0 with one logit a frame"
    def __init__(self, first):
        super().__init__()
        self.first = first
        weights = read_checkpoint(find_checkpoint())
        self.stem = Conv(weights, "_conv_stem.weight", "_bn0", 2, trained=False)
        self.blocks = nn.ModuleList(Block(weights, i, i >= first, *shape) for i, (_, *shape) in enumerate(_blocks()))
        self.head = Conv(weights, "_conv_head.weight", "_bn1")
        self.last = nn.Linear(1280, 1)

    def features(self, frames): # (n, 224, 224, 3) uint8 → (n, 1280)
        x = torch.from_numpy(frames).permute(0, 3, 1, 2)
        x = ((x.float() - 127)/128).bfloat16().contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            x = self.stem(x)
            for block in self.blocks[:self.first]: x = block(x)
        for block in self.blocks[self.first:]: x = block(x)
        return self.head(x).float().mean((2, 3))


def squares_of(path):
    "(8, 256, 256, 3): frames a quarter of a second apart; those of a short clip again"
    with VideoReader(path) as reader:
        info = reader.info()
        indices = plan_windows(info.n_frames, info.fps, Sampling(0.25, "seconds", 8, 1))[0].indices
        images = {f.index: f.image for f in reader.frames(sorted(set(indices)))}
    return np.stack([square(images[i], 256) for i in np.resize(indices, 8)])


def plain(image): return cv2.resize(image, (224, 224), interpolation=cv2.INTER_AREA)


def altered(image, rng):
    "Mirrored, cut or shrunk, made coarse, blurred, brighter or darker, compressed: each by chance"
    if rng.random() < 0.5: image = image[:, ::-1]
    y, x = rng.integers(0, 33, 2)
    image = np.ascontiguousarray(image[y:y + 224, x:x + 224] if rng.random() < 0.5 else plain(image))
    if rng.random() < 0.3:
        n = round(224*rng.uniform(0.4, 0.9))
        image = cv2.resize(cv2.resize(image, (n, n), interpolation=cv2.INTER_AREA), (224, 224), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.2: image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.2))
    if rng.random() < 0.4: image = cv2.convertScaleAbs(image, alpha=rng.uniform(0.8, 1.25), beta=rng.uniform(-20, 20))
    if rng.random() < 0.6: image = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 96))])[1], 1)
    return image


def drawn_by(labels, groups):
    "How likely each clip is drawn: half of each label, a source by the root of its clips"
    n = pd.Series(groups).map(pd.Series(groups).value_counts()).to_numpy()
    w = n**-0.5
    for label in (0, 1): w[labels == label] /= 2*w[labels == label].sum()
    return w


def features_of(model, clips, alter=plain, every=1):
    "(clips, 1280): mean over the frames"
    with torch.no_grad():
        return np.stack([model.features(np.stack([alter(f) for f in c[::every]])).numpy().mean(0) for c in clips])


def probe(model, squares, labels, p, rng):
    "Set the last layer by a logistic regression on the frozen features"
    x = np.concatenate([features_of(model, squares, alter, 2) for alter in (plain, lambda f: altered(f, rng))])
    mean, deviation = x.mean(0), x.std(0) + 1e-3
    fit = LogisticRegression(C=0.002, max_iter=500).fit((x - mean)/deviation, np.tile(labels, 2), sample_weight=np.tile(p*len(labels), 2))
    kernel = fit.coef_[0]/deviation
    with torch.no_grad():
        model.last.weight.copy_(torch.tensor(kernel[None]).float())
        model.last.bias.fill_(float(fit.intercept_[0] - kernel@mean))


def tune(model, squares, labels, p, rng):
    "AdamW, its rate rising for a tenth of the steps and falling along a cosine"
    trained = [q for q in model.parameters() if q.requires_grad]
    steps = EPOCHS*(len(squares)//CLIPS)
    optimizer = torch.optim.AdamW(trained, RATE, weight_decay=0.05)
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min(1, (s + 1)/(0.1*steps))*(1 + np.cos(np.pi*s/steps))/2)
    for _ in range(steps):
        clips = rng.choice(len(squares), CLIPS, p=p)
        frames = np.stack([altered(squares[c][k], rng) for c in clips for k in rng.permutation(8)[:FRAMES]])
        z = model.last(F.dropout(model.features(frames), 0.3)).view(CLIPS, FRAMES)
        y = torch.tensor(labels[clips]*0.9 + 0.05).float()
        loss = F.binary_cross_entropy_with_logits(z, y[:, None].expand_as(z)) + F.binary_cross_entropy_with_logits(z.mean(1), y)
        optimizer.zero_grad()
        (loss/2).backward()
        nn.utils.clip_grad_norm_(trained, 5.0)
        optimizer.step()
        rate.step()


def judge(df, squares, fold, first):
    "Logits of the held-out clips, before and after"
    a, b = list(grouped_folds(df, 5, 0))[fold]
    torch.manual_seed(fold)
    rng = np.random.default_rng(fold)
    model = Network(first)
    labels = a.label.to_numpy()
    p = drawn_by(labels, a.group.to_numpy())
    seen = squares[a.index]
    start = time.perf_counter()
    logits = lambda: features_of(model, squares[b.index])@model.last.weight.detach().numpy()[0] + model.last.bias.item()
    probe(model, seen, labels, p, rng)
    found = pd.DataFrame({"file_path": b.file_path, "probe": logits()})
    tune(model, seen, labels, p, rng)
    found["tuned"] = logits()
    y = b.label.to_numpy()
    print(f"fold {fold}: probe {auc(y, found.probe):.3f}, tuned {auc(y, found.tuned):.3f}, {time.perf_counter() - start:.0f} s", flush=True)
    return found


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("labels", type=Path)
    ask.add_argument("out", type=Path)
    ask.add_argument("--folds", type=int, nargs="+", default=[0, 1, 2], help="which of the five")
    ask.add_argument("--first", type=int, default=2, help="the block from which on it is trained; those before block 5 take half the time")
    asked = ask.parse_args()
    df = read_labels(asked.labels)
    df = df[df.split == "train"].reset_index(drop=True)
    squares = np.stack([squares_of(p) for p in df.path])
    for fold in asked.folds:
        before = [pd.read_csv(asked.out)] if asked.out.exists() else []
        pd.concat([*before, judge(df, squares, fold, asked.first).round(3)]).to_csv(asked.out, index=False)


if __name__ == "__main__": main()
