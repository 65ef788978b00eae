"""PyTorch. Modes: eager, compile, graph (a CUDA graph), compile-graph (compiled kernels in one)."""

import itertools
import sys

import common
import torch
from torch import nn
