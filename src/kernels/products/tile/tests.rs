use super::*;

#[test]
fn every_tile_divides_its_work_evenly() {
    for tile in TILES {
        let threads = tile.per_slice();
        assert!(tile.invocations() <= 256, "{tile}: core WebGPU allows 256");
        for side in [tile.rows, tile.cols] {
            assert_eq!(side / 4 * tile.depth % threads, 0, "{tile}");
        }
        let squares = (tile.rows + tile.cols) / 4 * (tile.depth / 4);
        assert!(tile.depth % 4 == 0 && squares <= threads, "{tile}");
        assert!(tile.slices == 1 || (tile.slices == 4 && tile.each[0] == 4), "{tile}");
        for segment in [SHORT, LONG] {
            assert_eq!(segment % tile.depth, 0, "{tile}");
        }
    }
}

#[test]
fn defaults_are_among_the_choices_and_follow_the_shape() {
    let name = |shapes: &[[usize; 3]], aligned| {
        let products = Products { shapes: shapes.to_vec(), aligned, all_aligned: aligned };
        let choice = default_choice(&products, None);
        assert!(choices(&products, None).contains(&choice), "{products:?}");
        TILES[choice].to_string()
    };
    assert_eq!(name(&[[64, 128, 784]], true), "32x32x4_wide");
    assert_eq!(name(&[[64, 128, 783]], false), "32x32x4");
    assert_eq!(name(&[[64, 10, 16]], true), "32x32_wide");
    assert_eq!(name(&[[256, 1024, 1024]], true), "32x32x4_wide");
    assert_eq!(name(&[[256, 1024, 1024], [1024, 1025, 256]], true), "64x64_wide");
    assert_eq!(name(&[[4096, 4096, 4096]], true), "128x128_wide");
    assert_eq!(name(&[[4096, 4097, 4097]], false), "128x128");
}

#[test]
fn candidates_begin_with_the_default_and_leave_out_what_is_far_too_large() {
    for (shape, count) in [([4096, 4096, 4096], 8), ([256, 10, 64], 4), ([40, 64, 64], 6)] {
        let products = Products::new(&[(shape, [shape[2]; 2])]);
        let found = candidates(&products, None);
        assert_eq!(found[0], default_choice(&products, None));
        assert_eq!(found.len(), count, "{shape:?}: {found:?}");
    }
}

#[test]
fn a_device_with_few_registers_takes_no_tile_that_needs_more() {
    for products in [
        Products::new(&[([4096, 4096, 4096], [4096; 2])]),
        Products::new(&[([4096, 4096, 5000], [5001; 2])]),
        Products::new(&[([64, 10, 784], [784; 2])]),
    ] {
        let fold = products.folds();
        for found in candidates(&products, Some(64)) {
            assert!(TILES[found].registers(fold) <= 64, "{}", TILES[found]);
        }
        assert!(!choices(&products, Some(64)).is_empty());
        assert!(choices(&products, None).len() > choices(&products, Some(64)).len());
    }
    // By count, as DESIGN has it: two of the largest blocks on a multiprocessor of 65,536, or one.
    assert_eq!(TILES.map(|tile| tile.registers(false)).into_iter().max(), Some(120));
    assert_eq!(TILES.map(|tile| tile.registers(true)).into_iter().max(), Some(184));
}

#[test]
fn products_are_aligned_where_the_rows_of_the_largest_are() {
    let aligned = |products: &[([usize; 3], [usize; 2])]| Products::new(products).aligned;
    assert!(aligned(&[([8, 10, 12], [12, 12])]));
    assert!(!aligned(&[([8, 10, 12], [12, 10])]));
    assert!(aligned(&[([8, 10, 12], [8, 10]), ([80, 101, 12], [80, 100])]));
    assert!(!aligned(&[]));
}
