//! Sums that overlap with the backward pass give the bits of those that follow it.

use super::{BLOCKS, jobs, own_cpu};
use crate::common::{cpu32, gpu};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, ThreadId};
use wgrad::backend::Backend;
use wgrad::net::spec::{Net, Norm};
use wgrad::train::ranks::{Ranks, Reduction};
use wgrad::{Activation, Result};

/// Asks for buckets of at least so many elements, and counts the calls of a second thread.
#[derive(Clone)]
pub struct Asked(usize, Arc<AtomicUsize>);

impl Asked {
    pub fn at_least(elements: usize) -> Self {
        Asked(elements, Arc::default())
    }

    pub fn wrap(&self, ranks: Box<dyn Ranks>) -> Box<dyn Ranks> {
        Box::new(InBuckets { ranks, asked: self.clone(), thread: thread::current().id() })
    }
}

struct InBuckets {
    ranks: Box<dyn Ranks>,
    asked: Asked,
    thread: ThreadId,
}

impl InBuckets {
    fn note(&self) {
        let is_beside = thread::current().id() != self.thread;
        self.asked.1.fetch_add(usize::from(is_beside), Ordering::Relaxed);
    }
}

impl Ranks for InBuckets {
    fn rank(&self) -> usize {
        self.ranks.rank()
    }
    fn size(&self) -> usize {
        self.ranks.size()
    }
    fn exchange(&mut self, to: usize, out: &[f32], from: usize, into: &mut [f32]) -> Result<()> {
        self.note();
        self.ranks.exchange(to, out, from, into)
    }
    fn sum(&mut self, values: &mut [f32]) -> Result<()> {
        self.note();
        self.ranks.sum(values)
    }
    fn broadcast(&mut self, values: &mut [f64]) -> Result<()> {
        self.ranks.broadcast(values)
    }
    fn gather(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.ranks.gather(bytes)
    }
    fn bucket(&self) -> Option<usize> {
        Some(self.asked.0)
    }
}

#[test]
fn sums_in_buckets_give_the_bits_of_one_rank() {
    for (name, mut job) in jobs() {
        let one = job.weights(1, BLOCKS);
        let asked = Asked::at_least(1);
        job.buckets = Some(asked.clone());
        for size in [2, 4, 8] {
            let found = job.weights_on(size, BLOCKS, |_| own_cpu());
            assert!(found == one, "{name}, {size} ranks in place");
        }
        assert!(job.weights(2, BLOCKS) == one, "{name}, 2 ranks");
        // Three ranks may have several nodes of the tree.
        assert!(job.weights(3, BLOCKS) == one, "{name}, 3 ranks");
        let waits = job.spec.net.layers.iter().any(|layer| layer.norm == Some(Norm::Batch));
        let calls = asked.1.load(Ordering::Relaxed);
        assert_eq!(calls == 0, waits, "{name}: {calls} calls by a second thread");
    }
}

/// Two ranks have only one sum of two numbers; more and micro-batches are the same but for rounding.
#[test]
fn the_fastest_sums_in_buckets_are_the_same() {
    let (_, mut job) = jobs().swap_remove(0);
    let asked = Asked::at_least(1);
    for micro_batch in [None, Some(5)] {
        let backends: [fn() -> Box<dyn Backend>; 2] = [own_cpu, || cpu32(1).boxed()];
        for backend in backends {
            job.spec.micro_batch = micro_batch;
            for size in [2, 3, 4] {
                job.buckets = None;
                let expected = job.weights_on(size, Reduction::Fastest, |_| backend());
                job.buckets = Some(asked.clone());
                let found = job.weights_on(size, Reduction::Fastest, |_| backend());
                assert!(found == expected, "{size} ranks, {micro_batch:?}");
            }
        }
    }
    assert!(asked.1.load(Ordering::Relaxed) > 0);
}

#[test]
fn sums_in_buckets_on_a_gpu_give_the_bits_of_one_rank() {
    let Some(_) = gpu("sums in buckets") else { return };
    let names = ["dropout", "adam", "the plain plan"];
    for (name, mut job) in jobs().into_iter().filter(|(name, _)| names.contains(name)) {
        if name == "adam" {
            // Fused layers.
            let net = Net::new(7).layer(400, Activation::Relu).layer(400, Activation::Tanh);
            job.spec.net = net.layer(3, Activation::Identity);
        }
        let on = |_| gpu("sums in buckets").unwrap().boxed();
        let one = job.weights_on(1, BLOCKS, on);
        let asked = Asked::at_least(1);
        job.buckets = Some(asked.clone());
        assert!(job.weights_on(2, BLOCKS, on) == one, "{name}");
        // A small net is one op.
        assert_eq!(asked.1.load(Ordering::Relaxed) > 0, name != "dropout", "{name}");
    }
}
