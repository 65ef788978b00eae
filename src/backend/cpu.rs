//! The CPU backend, in f32 or f64: the fallback for machines without a GPU, and the reference.

use super::{Backend, DataId, DeviceInfo, Values, ValuesMut, check_length, mebibytes};
use crate::data::Samples;
use crate::error::{Error, Result};
use crate::kernels::loss::SCORES;
use crate::kernels::matmul::{self, Gemm};
use crate::kernels::{Step, activation, gather, loss, optimizer, random, softmax, sums};
use crate::program::{Op, Program};
use crate::tensor::TensorId;
use rayon::ThreadPool;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

/// Runs programs on the CPU in precision `T`.
///
/// Work is cut into pieces by the shape alone, so that results don't depend on the number of
/// threads.
#[derive(Debug)]
pub struct Cpu<T> {
    info: DeviceInfo,
    pool: ThreadPool,
    program: Arc<Program>,
    buffers: Vec<Vec<T>>,
    data: Vec<Arc<Samples>>,
}

/// Elements of a piece of element-wise work.
const PIECE: usize = 1 << 14;

impl<T: Gemm> Cpu<T> {
    /// A backend with `threads` threads, by default one for each processor.
    ///
    /// # Errors
    /// When the threads can't be started.
    pub fn new(threads: Option<usize>) -> Result<Self> {
        let threads = threads
            .or_else(|| std::thread::available_parallelism().ok().map(usize::from))
            .unwrap_or(1);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("wgrad-{i}"))
            .build()
            .map_err(|e| {
                Error::failed(format!("cannot start {threads} threads: {e}")).help("choose fewer with --threads")
            })?;
        let precision = if size_of::<T>() == 4 { "f32" } else { "f64" };
        let plural = if threads == 1 { "" } else { "s" };
        let info = DeviceInfo {
            name: "CPU".into(),
            backend: "cpu".into(),
            detail: format!("{precision}, {threads} thread{plural}"),
        };
        Ok(Cpu { info, pool, program: Arc::default(), buffers: Vec::new(), data: Vec::new() })
    }

    /// A tensor's elements, for a batch of `batch` rows.
    fn slice(&self, id: TensorId, batch: usize) -> &[T] {
        &self.buffers[self.program.tensor(id).buffer][self.program.range(id, batch)]
    }

    /// Calls `f` with tensors to be written, each in another buffer, and with the backend to read
    /// all other buffers from.
    fn with<const N: usize>(
        &mut self,
        ids: [TensorId; N],
        batch: usize,
        f: impl FnOnce(&Self, [&mut [T]; N]),
    ) {
        let program = self.program.clone();
        let buffer = |id: TensorId| program.tensor(id).buffer;
        let mut taken = ids.map(|id| std::mem::take(&mut self.buffers[buffer(id)]));
        let mut ranges = ids.map(|id| program.range(id, batch)).into_iter();
        let slices = taken.each_mut().map(|t| &mut t[ranges.next().unwrap_or_default()]);
        f(self, slices);
        for (id, t) in ids.into_iter().zip(taken) {
            self.buffers[buffer(id)] = t;
        }
    }

    /// Calls `f(first row, rows of out)` for blocks of `rows` rows of `cols` elements, in parallel.
    fn blocks(&self, out: &mut [T], cols: usize, rows: usize, f: impl Fn(usize, &mut [T]) + Sync) {
        let piece = (rows * cols).max(1);
        if out.len() <= piece {
            f(0, out);
        } else {
            let blocks = out.par_chunks_mut(piece).enumerate();
            self.pool.install(|| blocks.for_each(|(i, out)| f(i * rows, out)));
        }
    }

    /// Calls `f(elements of out, the same elements of input)` in parallel, by whole rows.
    fn elements(&self, out: &mut [T], input: &[T], cols: usize, f: impl Fn(&mut [T], &[T]) + Sync) {
        self.blocks(out, cols, piece_rows(cols), |row, out| {
            let start = row * cols;
            f(out, &input[start..start + out.len()]);
        });
    }

    fn run_op(&mut self, op: &Op, data: &Samples, step: &Step) {
        let rows = step.rows as usize;
        let program = self.program.clone();
        let cols = |id: TensorId| program.tensor(id).cols;
        match op {
            Op::Gather { x } => self.with([*x], rows, |cpu, [x_all]| {
                let cols = cols(*x);
                cpu.blocks(x_all, cols, piece_rows(cols), |row, x| {
                    let step = Step { first: step.first + row as u32, ..*step };
                    gather::features(&step, &data.features, &data.affine, x);
                });
            }),
            Op::Targets { t } => self.with([*t], rows, |_, [t_all]| {
                if let Some(targets) = &data.targets {
                    gather::targets(step, targets, cols(*t), t_all);
                }
            }),
            Op::Matmul { form, a, b, bias, c } => {
                let shape = program.matmul_shape(*form, *a, *c);
                let (m, n, k) = (shape.m.rows(rows), shape.n, shape.k.rows(rows));
                self.with([*c], rows, |cpu, [c]| {
                    let (a, b) = (cpu.slice(*a, rows), cpu.slice(*b, rows));
                    let bias = bias.map(|(t, sign)| (cpu.slice(t, rows), T::of(sign.into())));
                    cpu.blocks(c, n, matmul::block_rows(m), |row, c| {
                        matmul::reference(*form, [m, n, k], a, b, bias, row, c);
                    });
                });
            }
            Op::Activation { functions, z, a } => self.with([*a], rows, |cpu, [a]| {
                let cols = cols(*z);
                cpu.elements(a, cpu.slice(*z, rows), cols, |a, z| {
                    activation::value(functions, cols, z, a);
                });
            }),
            Op::ActivationGradient { functions, z, delta } => {
                self.with([*delta], rows, |cpu, [delta]| {
                    let cols = cols(*z);
                    cpu.elements(delta, cpu.slice(*z, rows), cols, |delta, z| {
                        activation::gradient(functions, cols, z, delta);
                    });
                });
            }
            Op::Softmax { z, y } => self.with([*y], rows, |cpu, [y]| {
                let cols = cols(*z);
                cpu.elements(y, cpu.slice(*z, rows), cols, |y, z| softmax::value(cols, z, y));
            }),
            Op::SoftmaxGradient { y, delta } => self.with([*delta], rows, |cpu, [delta]| {
                let cols = cols(*y);
                cpu.elements(delta, cpu.slice(*y, rows), cols, |delta, y| {
                    softmax::gradient(cols, y, delta);
                });
            }),
            Op::Loss { loss, y, t, unit, gradient, scores } => {
                self.with([*gradient, *scores], rows, |cpu, [gradient, scores]| {
                    let [y, t, unit] = [*y, *t, *unit].map(|id| cpu.slice(id, rows));
                    let cols = unit.len();
                    for (r, scores) in scores.chunks_exact_mut(SCORES).enumerate() {
                        let row = r * cols..(r + 1) * cols;
                        let gradient = &mut gradient[row.clone()];
                        loss::row(*loss, step, &y[row.clone()], &t[row], unit, gradient, scores);
                    }
                });
            }
            Op::Accumulate { scores, sums } => self.with([*sums], rows, |cpu, [sums]| {
                loss::accumulate(cpu.slice(*scores, rows), sums);
            }),
            Op::ColumnSums { delta, sign, out } => self.with([*out], rows, |cpu, [out]| {
                sums::reference(cols(*delta), T::of((*sign).into()), cpu.slice(*delta, rows), out);
            }),
            Op::Update { optimizer, decay, w, g, first, second } => {
                self.with([*w, *first, *second], rows, |cpu, [w, first, second]| {
                    let g = cpu.slice(*g, rows).par_chunks(PIECE);
                    let w = w.par_chunks_mut(PIECE);
                    let [first, second] = [first, second].map(|s| s.par_chunks_mut(PIECE));
                    let update = |w: &mut [T], g: &[T], state: [&mut [T]; 2]| {
                        optimizer::reference(*optimizer, *decay, step, w, g, state);
                    };
                    cpu.pool.install(|| match optimizer.state_slots() {
                        0 => w.zip(g).for_each(|(w, g)| update(w, g, [&mut [], &mut []])),
                        1 => w.zip(g).zip(first).for_each(|((w, g), s)| update(w, g, [s, &mut []])),
                        _ => w
                            .zip(g)
                            .zip(first.zip(second))
                            .for_each(|((w, g), (first, second))| update(w, g, [first, second])),
                    });
                });
            }
            Op::Uniform { key, out } => {
                self.with([*out], rows, |_, [out]| random::uniform_numbers(step, *key, out));
            }
            Op::Permutation { out } => {
                self.with([*out], rows, |_, [out]| random::permutation(step, out));
            }
        }
    }
}

/// The memory that this machine can give, as far as it tells.
fn available_memory() -> u64 {
    let told = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok()
    });
    told.map_or(isize::MAX as u64, |kibibytes| kibibytes * 1024)
}

/// Rows of `cols` elements that make up a piece of element-wise work.
fn piece_rows(cols: usize) -> usize {
    (PIECE / cols).max(1)
}

impl<T: Gemm> Backend for Cpu<T> {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn load(&mut self, program: Arc<Program>) -> Result<()> {
        let (needed, available) = (program.bytes(size_of::<T>()), available_memory());
        if needed > available {
            let (needed, available) = (mebibytes(needed), mebibytes(available));
            return Err(Error::device(format!("the run needs {needed}, the memory available is {available}"))
                .help("choose a smaller --batch-size or smaller --layers"));
        }
        self.buffers = program.buffers.iter().map(|&len| vec![T::zero(); len]).collect();
        self.program = program.clone();
        program.constants.iter().try_for_each(|(id, values)| self.write(*id, Values::F32(values)))
    }

    fn upload(&mut self, samples: Arc<Samples>) -> Result<DataId> {
        self.data.push(samples);
        Ok(DataId(self.data.len() - 1))
    }

    fn write(&mut self, tensor: TensorId, values: Values<'_>) -> Result<()> {
        check_length(&self.program, tensor, values.len())?;
        let t = self.program.tensor(tensor);
        let to = self.buffers[t.buffer][t.offset..].iter_mut();
        match values {
            Values::F32(v) => to.zip(v).for_each(|(to, &x)| *to = T::of(x.into())),
            Values::F64(v) => to.zip(v).for_each(|(to, &x)| *to = T::of(x)),
        }
        Ok(())
    }

    fn run(&mut self, ops: Range<usize>, data: DataId, steps: &[Step]) -> Result<()> {
        let (program, samples) = (self.program.clone(), self.data[data.0].clone());
        for step in steps {
            for op in &program.ops[ops.clone()] {
                self.run_op(op, &samples, step);
            }
        }
        Ok(())
    }

    fn read(&mut self, tensor: TensorId, values: ValuesMut<'_>) -> Result<()> {
        check_length(&self.program, tensor, values.len())?;
        let t = self.program.tensor(tensor);
        let from = self.buffers[t.buffer][t.offset..].iter();
        match values {
            ValuesMut::F32(v) => v.iter_mut().zip(from).for_each(|(v, x)| *v = x.double() as f32),
            ValuesMut::F64(v) => v.iter_mut().zip(from).for_each(|(v, x)| *v = x.double()),
        }
        Ok(())
    }
}
