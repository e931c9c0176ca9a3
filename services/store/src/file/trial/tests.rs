//! The overlay behaves like a file, and the file under it never changes before it is settled.

use std::{fs::File, io::Write};

use proptest::{collection::vec, prelude::*};
use redb::backends::FileBackend;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Write(u64, Vec<u8>),
    SetLen(u64),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..30_000_u64, vec(any::<u8>(), 0..9_000)).prop_map(|(at, data)| Step::Write(at, data)),
        (0..40_000_u64).prop_map(Step::SetLen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_overlay_is_a_file(
        original in vec(any::<u8>(), 0..20_000),
        steps in vec(any_step(), 0..12),
    ) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&original).unwrap();
        let opened = File::options().read(true).write(true).open(file.path()).unwrap();
        let file_under = FileBackend::new(opened).unwrap();
        let overlay = Overlay::over(file_under, original.len() as u64);
        let mut model = original.clone();
        for step in steps {
            match step {
                Step::Write(at, data) => {
                    overlay.write(at, &data).unwrap();
                    let end = at as usize + data.len();
                    model.resize(model.len().max(end), 0);
                    model[at as usize..end].copy_from_slice(&data);
                }
                Step::SetLen(length) => {
                    overlay.set_len(length).unwrap();
                    model.resize(length as usize, 0);
                }
            }
        }
        prop_assert_eq!(overlay.len().unwrap(), model.len() as u64);
        let mut read = vec![0; model.len()];
        overlay.read(0, &mut read).unwrap();
        prop_assert!(read == model);
        prop_assert!(overlay.read(model.len() as u64, &mut [0]).is_err());
        prop_assert!(std::fs::read(file.path()).unwrap() == original);
        overlay.settle().unwrap();
        prop_assert!(std::fs::read(file.path()).unwrap() == model);
        overlay.write(7, b"through").unwrap();
        prop_assert!(std::fs::read(file.path()).unwrap()[7..14] == *b"through");
    }
}
