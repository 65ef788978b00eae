//! Exported quantiles of logarithms, which other programs may round differently.

use crate::cli_support::Place;
use std::fmt::Write as _;

#[test]
fn a_logarithm_that_is_a_rounding_beside_a_quantile_is_that_quantile() {
    let place = Place::new();
    // Whole numbers whose logarithm is another one where it is taken of 1 + x.
    let is_odd = |x: &u32| (1.0 + f64::from(*x)).ln() != f64::from(*x).ln_1p();
    let odd: Vec<u32> = (1..100_000).filter(is_odd).step_by(200).take(4).collect();
    assert_eq!(odd.len(), 4, "logarithms round alike here");
    let mut table = "gain,other,y\n".to_string();
    for i in 0..600_usize {
        // Most are 0, and each of the others is the value of many rows.
        let gain = if i % 3 == 0 { odd[i / 3 % 4] } else { 0 };
        let _ = writeln!(table, "{gain},{},{}", i * 7 % 90, (gain % 97) as usize + i % 5);
    }
    place.write("data.csv", table);
    let columns = "--target y --numeric gain,other --log gain --scaling quantile";
    place.ok(&format!("train data.csv {columns} --device cpu --epochs 5 --quiet --out run"));
    // Before it is written the file is run on rows of its data.
    let ran = place.ok("export run -o net.onnx");
    let off = ran.stderr.rsplit_once("largest relative difference ").unwrap().1;
    let off: f64 = off.split_whitespace().next().unwrap().parse().unwrap();
    assert!(off < 1e-5, "{}", ran.stderr);
    assert!(place.path("net.onnx").is_file());
}
