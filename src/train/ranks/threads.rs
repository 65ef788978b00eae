//! Ranks that are threads of one process: several devices of one machine without MPI.

use super::Ranks;
use crate::base::error::{Error, Result};
use std::sync::mpsc::{Receiver, Sender, channel};

/// One of the ranks that [`threads`] makes, to be moved to its thread.
pub struct Threads {
    rank: usize,
    to: Vec<Sender<Vec<u8>>>,
    from: Vec<Receiver<Vec<u8>>>,
}

/// `size` ranks of one process.
#[must_use]
pub fn threads(size: usize) -> Vec<Threads> {
    let mut all: Vec<Threads> =
        (0..size).map(|rank| Threads { rank, to: Vec::new(), from: Vec::new() }).collect();
    for receiver in 0..size {
        for sender in 0..size {
            let (to, from) = channel();
            all[sender].to.push(to);
            all[receiver].from.push(from);
        }
    }
    all
}

impl Threads {
    fn send(&self, to: usize, bytes: &[u8]) -> Result<()> {
        self.to[to].send(bytes.to_vec()).map_err(|_| gone(to))
    }

    fn receive(&self, from: usize) -> Result<Vec<u8>> {
        self.from[from].recv().map_err(|_| gone(from))
    }
}

fn gone(rank: usize) -> Error {
    Error::failed(format!("rank {rank} is gone"))
        .help("its own error says why; resume from the last checkpoint")
}

/// Copies the bytes of a message, which has the same length on every rank.
fn copy<T: bytemuck::Pod>(bytes: &[u8], into: &mut [T]) -> Result<()> {
    let into: &mut [u8] = bytemuck::cast_slice_mut(into);
    if bytes.len() != into.len() {
        let what = format!("a message of {} bytes in place of {}", bytes.len(), into.len());
        return Err(Error::failed(what).help("all ranks must train the same net"));
    }
    into.copy_from_slice(bytes);
    Ok(())
}

impl Ranks for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.to.len()
    }

    fn exchange(&mut self, to: usize, out: &[f32], from: usize, into: &mut [f32]) -> Result<()> {
        if !out.is_empty() {
            self.send(to, bytemuck::cast_slice(out))?;
        }
        if !into.is_empty() {
            copy(&self.receive(from)?, into)?;
        }
        Ok(())
    }

    fn sum(&mut self, values: &mut [f32]) -> Result<()> {
        let all = self.gather(bytemuck::cast_slice(values))?;
        values.fill(0.0);
        let mut part = vec![0.0_f32; values.len()];
        for bytes in all {
            copy(&bytes, &mut part)?;
            values.iter_mut().zip(&part).for_each(|(sum, x)| *sum += x);
        }
        Ok(())
    }

    fn broadcast(&mut self, values: &mut [f64]) -> Result<()> {
        if self.rank > 0 {
            return copy(&self.receive(0)?, values);
        }
        (1..self.size()).try_for_each(|to| self.send(to, bytemuck::cast_slice(values)))
    }

    fn gather(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        (0..self.size()).try_for_each(|to| self.send(to, bytes))?;
        (0..self.size()).map(|from| self.receive(from)).collect()
    }
}
