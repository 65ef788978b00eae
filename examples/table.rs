//! From a text table to predictions: `cargo run --release --example table`.

use wgrad::Regressor;

/// Runs the example.
pub fn main() -> wgrad::Result<()> {
    let directory = std::env::temp_dir().join(format!("wgrad-table-{}", std::process::id()));
    let write = |name: &str, text: String| {
        let path = directory.join(name);
        std::fs::create_dir_all(&directory)
            .and_then(|()| std::fs::write(&path, text))
            .map(|()| path)
    };
    let row = |i: usize| {
        let (rooms, town) = (1 + i % 6, ["Ulm", "Bonn", "Kiel"][i % 3]);
        let price = 80 * rooms + [0, 100, 40][i % 3];
        format!("{rooms},{town},{price}\n")
    };
    let rows: String = (0..120).map(row).collect();
    let train = write("homes.csv", format!("rooms,town,price\n{rows}")).expect("a temporary file");
    let new = write("new.csv", "town,rooms\nBonn,4\nUlm,2\n".into()).expect("a temporary file");

    // Columns, split and settings are chosen as by `wgrad train homes.csv --target price`.
    let model = Regressor::builder().target("price").epochs(40).fit_table(&train)?;
    let prices = model.predict_table(&new)?;
    println!("420 and 160 are predicted as {prices:.0?}");

    std::fs::remove_dir_all(&directory).ok();
    assert!((prices[0] - 420.0).abs() < 60.0 && (prices[1] - 160.0).abs() < 60.0, "{prices:?}");
    Ok(())
}
