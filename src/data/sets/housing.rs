//! The bundled California housing data: 20,640 census block groups of 1990, with the median value of a house.
//!
//! R. K. Pace, R. Barry, "Sparse Spatial Autoregressions", Statistics & Probability Letters 33 (1997), doi
//! 10.1016/S0167-7152(96)00140-X; with the changes of A. Géron, "Hands-On Machine Learning", Apache-2.0.
//! `assets/README.md` lists the changes.

/// The table as a CSV with a header, compressed with zstd; the target, `median_house_value`, is the last column.
pub static HOUSING: &[u8] = include_bytes!("../../../assets/housing.csv.zst");

#[cfg(test)]
mod tests {
    use crate::data::{self, Data, DataOptions, Targets};

    #[test]
    fn the_bundled_file_holds_20640_rows_with_known_sums() {
        let opened = data::open("housing", &DataOptions::default()).unwrap();
        let Data::Table(table) = &opened.train else { panic!("a table") };
        assert_eq!((table.name(), table.rows(), table.columns().len()), ("housing", 20_640, 10));
        let missing: Vec<_> = table.columns().iter().filter(|c| c.missing > 0).collect();
        assert_eq!(
            (missing.len(), missing[0].name.as_str(), missing[0].missing),
            (1, "total_bedrooms", 207)
        );
        let Targets::Numbers(values) = table.targets() else { panic!("numbers") };
        // The sum of the column in the original file, by awk.
        assert_eq!(values.data().iter().sum::<f64>(), SUM);
    }

    const SUM: f64 = 4_269_504_061.0;
}
