use super::*;
use crate::backend::DataId;
use crate::data::{Features, StoredWriter, Targets};
use crate::math::activation::Activation;
use crate::math::loss::Loss;
use crate::math::matrix::Matrix;
use crate::math::random::permute;
use crate::net::spec::Net;
use std::collections::HashMap;

const ROWS: usize = 1003;
const COUNT: usize = 8;

fn spec(batch_size: usize, mixup: Option<f32>) -> Spec {
    let net = Net::new(1).layer(1, Activation::Identity);
    Spec { batch_size, seed: 3, mixup, ..Spec::new(net, Loss::SquaredError) }
}

/// Rows whose target is their number, of which those of a rank are written.
fn stored(shards: &Shards) -> Arc<StoredSet> {
    let mut writer = StoredWriter::create_for(shards.held()).unwrap();
    for first in (0..ROWS).step_by(100) {
        let rows = 100.min(ROWS - first);
        let features = Features::F32(Matrix::from_fn(rows, 1, |_, _| 0.5));
        let targets = Matrix::from_fn(rows, 1, |row, _| (first + row) as f64);
        let data = Dataset::new("t", features, Targets::Numbers(targets)).unwrap();
        writer.append(&data).unwrap();
    }
    Arc::new(writer.finish().unwrap().unwrap())
}

/// Training rows by epoch, step and shard.
type Blocks = HashMap<(usize, usize, usize), Vec<usize>>;

/// The training rows of each block of two epochs, as `size` ranks take them, with windows of at most
/// `most` batches; and the number of windows of an epoch.
fn taken(spec: &Spec, size: usize, most: u64) -> (Blocks, usize) {
    let run = Run::new(spec.clone(), ROWS);
    let (mut all, mut count) = (HashMap::new(), 0);
    for rank in 0..size {
        let shards = Shards::new(spec, ROWS, COUNT, [rank, size]).unwrap();
        let windows = Windows::new(stored(&shards), shards.clone(), Some(spec.seed), most);
        count = windows.count();
        for (epoch, within) in (0..2).flat_map(|epoch| (0..run.steps).map(move |i| (epoch, i))) {
            let done = epoch * run.steps + within;
            let at = Position { step: done as u64, epoch, within };
            let place = windows.place(at);
            let data = windows.read(place)().unwrap();
            let order = |shard| windows.order(&run, place, shard).words();
            let sets = shards.own().zip(0..).map(|(shard, i)| (DataId(i), order(shard))).collect();
            let of = shards.clone();
            let local = LocalRows { data: DataId(0), shards: Some(LocalShards { of, sets }) };
            let Window { first, rows, order } = windows.window(&run, at);
            assert!(within >= first && within < windows.end(place.window, run.steps));
            let step = run.step(within - first, rows, done as u64, &order);
            for (shard, block) in shards.blocks(step.rows as usize, [rank, size]) {
                if block.is_empty() {
                    continue;
                }
                let (DataId(set), step) = local.of(&step, &block).unwrap();
                assert_eq!(step.position as usize, within * run.batch + block.start);
                let Targets::Numbers(m) = data[set].targets() else { panic!("numbers") };
                let row = |i: u32| m.row(permute(step.order, step.first + i) as usize)[0] as usize;
                let rows: Vec<usize> = (0..step.rows).map(row).collect();
                let sources = block.map(|row| windows.source(&run, at, row));
                assert_eq!(rows, sources.collect::<Vec<_>>());
                all.insert((epoch, within, shard), rows);
            }
        }
    }
    (all, count)
}

#[test]
fn every_row_is_in_one_block_of_an_epoch_whatever_the_number_of_ranks() {
    for (batch, mixup, most, windows) in [
        (64, None, 1, 15),
        (64, None, 4, 4),
        (100, Some(0.2), 3, 4),
        (59, None, 100, 1),
        // The last batch has fewer rows than there are shards.
        (250, None, 1, 4),
        (2000, None, 1, 1),
    ] {
        let name = format!("batches of {batch}, {most} in a window");
        let spec = spec(batch, mixup);
        let (alone, count) = taken(&spec, 1, most);
        assert_eq!(count, windows, "{name}");
        for size in [2, 3, 8] {
            assert_eq!(taken(&spec, size, most).0, alone, "{name}, {size} ranks");
        }
        let of_epoch = |number: usize| {
            let mut blocks: Vec<_> =
                alone.iter().filter(|((epoch, ..), _)| *epoch == number).collect();
            blocks.sort();
            blocks.into_iter().flat_map(|(_, rows)| rows.clone()).collect::<Vec<usize>>()
        };
        let epochs = [0, 1].map(of_epoch);
        assert_ne!(epochs[0], epochs[1], "{name}");
        for mut rows in epochs {
            rows.sort_unstable();
            assert_eq!(rows, (0..ROWS).collect::<Vec<_>>(), "{name}");
        }
    }
}
